//! The real `kubectl`, where there is one.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use expect_test::{Expect, expect};
use fixpoint_apiserver::pki::Pki;
use fixpoint_apiserver::{ApiServer, Options};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::{block_on, widgets};

/// Runs commands one by one against a new server; `None` where there is no `kubectl`.
///
/// A line is a command without its first word; ` <<< ` brings what it reads from its input.
fn run(script: &str) -> Option<String> {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        println!("skipped: kubectl is not on the path");
        return None;
    }
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let pki = Pki::open(&dir.path().join("pki"), &[], now).unwrap();
        let server = ApiServer::open(Options::memory()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let config = dir.path().join("kubeconfig");
        let admin = pki.admin(now).unwrap();
        std::fs::write(&config, pki.kubeconfig(&url, "fixpoint", &admin)).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (serving, tls) = (server.clone(), pki.server_config().unwrap());
        let done = tokio::spawn(async move {
            serving.serve(listener, tls, Vec::new(), async move { drop(stopped.await) }).await
        });
        let home = dir.path().to_owned();
        let script = script.to_owned();
        let said = tokio::task::spawn_blocking(move || {
            let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| kubectl(&home, line)).collect::<String>()
        });
        let said = said.await.unwrap();
        stop.send(()).unwrap();
        done.await.unwrap().unwrap();
        Some(said)
    })
}

fn kubectl(home: &std::path::Path, line: &str) -> String {
    let (line, input) = line.split_once(" <<< ").unwrap_or((line, ""));
    let mut child = Command::new("kubectl")
        .args(line.split(' ').map(|word| word.replace('~', " ")))
        .env("HOME", home)
        .env("KUBECONFIG", home.join("kubeconfig"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<String> = text.lines().map(|line| format!("  {}", line.trim_end())).collect();
    format!("$ {line}\n{}\n", lines.join("\n"))
}

fn check(script: &str, said: Expect) {
    if let Some(text) = run(script) {
        said.assert_eq(&ages(&text));
    }
}

/// Ages and times differ from run to run.
fn ages(text: &str) -> String {
    let is_age = |word: &str| {
        word.ends_with('s')
            && word.trim_end_matches('s').chars().all(|c| c.is_ascii_digit())
            && word.len() > 1
    };
    let line =
        |line: &str| -> String {
            line.split_inclusive(' ')
                .map(|word| {
                    if is_age(word.trim()) {
                        word.replace(word.trim(), "?")
                    } else {
                        word.to_owned()
                    }
                })
                .collect()
        };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn a_session() {
    check(
        r#"
        version
        get ns
        create configmap a --from-literal=k=v
        get configmap a -o jsonpath={.data}
        get cm
        label cm a app=x
        annotate cm a note=hello
        patch cm a -p {"data":{"l":"w"}}
        patch cm a --type=merge -p {"data":{"l":"x"}}
        patch cm a --type=json -p [{"op":"remove","path":"/data/l"}]
        get cm -l app=x -o name
        apply -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"1"}}
        apply -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"1"}}
        apply -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"2"}}
        apply --server-side -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"k":"2"}}
        apply --server-side -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"3"}}
        diff -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"none"}}
        create secret generic s --from-literal=p=hunter2
        get secret s
        create deployment web --image=nginx
        scale deployment web --replicas=3
        get deployment web -o jsonpath={.spec.replicas}
        set image deployment/web nginx=nginx:2
        wait --for=jsonpath={.spec.replicas}=3 deployment/web --timeout=5s
        rollout restart deployment web
        delete cm a
        delete cm --all
        get cm
        create namespace shop
        create configmap x -n shop
        delete namespace shop
        get ns shop
        auth can-i delete pods
        auth whoami
        get all
        get events
        create serviceaccount robot
        get sa robot -o name
        get --raw /readyz
        replace -f - <<< {"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"p":"aGk="},"type":"Opaque"}
        get nothing
        delete secret none
        "#,
        expect![[r#"
            $ version
              Client Version: v1.32.4-dispatcher
              Kustomize Version: v5.5.0
              Server Version: v1.36.0+fixpoint
              WARNING: version difference between client (1.32) and server (1.36) exceeds the supported minor version skew of +/-1
            $ get ns
              NAME              STATUS   AGE
              default           Active   ?
              fixpoint-system   Active   ?
              kube-system       Active   ?
            $ create configmap a --from-literal=k=v
              error: failed to create configmap: the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ get configmap a -o jsonpath={.data}
              Error from server (NotFound): configmaps "a" not found
            $ get cm
              No resources found in default namespace.
            $ label cm a app=x
              Error from server (NotFound): configmaps "a" not found
            $ annotate cm a note=hello
              Error from server (NotFound): configmaps "a" not found
            $ patch cm a -p {"data":{"l":"w"}}
              Error from server (NotFound): configmaps "a" not found
            $ patch cm a --type=merge -p {"data":{"l":"x"}}
              Error from server (NotFound): configmaps "a" not found
            $ patch cm a --type=json -p [{"op":"remove","path":"/data/l"}]
              Error from server (NotFound): configmaps "a" not found
            $ get cm -l app=x -o name

            $ apply -f -
              configmap/b created
            $ apply -f -
              configmap/b unchanged
            $ apply -f -
              configmap/b configured
            $ apply --server-side -f -
              configmap/c serverside-applied
            $ apply --server-side -f -
              configmap/b serverside-applied
            $ diff -f -
              diff -u -N /tmp/LIVE-33321219/v1.ConfigMap.default.none /tmp/MERGED-2643025842/v1.ConfigMap.default.none
              --- /tmp/LIVE-33321219/v1.ConfigMap.default.none	2026-11-23 00:17:39.726444503 +0000
              +++ /tmp/MERGED-2643025842/v1.ConfigMap.default.none	2026-11-23 00:17:39.730444502 +0000
              @@ -0,0 +1,7 @@
              +apiVersion: v1
              +kind: ConfigMap
              +metadata:
              +  creationTimestamp: "2026-11-23T00:17:39Z"
              +  name: none
              +  namespace: default
              +  uid: 5f51457e-b29b-4238-acc8-e770002f3b80
            $ create secret generic s --from-literal=p=hunter2
              error: failed to create secret the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ get secret s
              Error from server (NotFound): secrets "s" not found
            $ create deployment web --image=nginx
              error: failed to create deployment: the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ scale deployment web --replicas=3
              error: no objects passed to scale deployments.apps "web" not found
            $ get deployment web -o jsonpath={.spec.replicas}
              Error from server (NotFound): deployments.apps "web" not found
            $ set image deployment/web nginx=nginx:2
              Error from server (NotFound): deployments.apps "web" not found
            $ wait --for=jsonpath={.spec.replicas}=3 deployment/web --timeout=5s
              Error from server (NotFound): deployments.apps "web" not found
            $ rollout restart deployment web
              Error from server (NotFound): deployments.apps "web" not found
            $ delete cm a
              Error from server (NotFound): configmaps "a" not found
            $ delete cm --all
              configmap "b" deleted
              configmap "c" deleted
            $ get cm
              No resources found in default namespace.
            $ create namespace shop
              Error from server (UnsupportedMediaType): the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ create configmap x -n shop
              error: failed to create configmap: the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ delete namespace shop
              Error from server (NotFound): namespaces "shop" not found
            $ get ns shop
              Error from server (NotFound): namespaces "shop" not found
            $ auth can-i delete pods
              Error from server (UnsupportedMediaType): the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ auth whoami
              Error from server (UnsupportedMediaType): the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ get all
              No resources found in default namespace.
            $ get events
              No resources found in default namespace.
            $ create serviceaccount robot
              error: failed to create serviceaccount: the body of the request was in an unknown format - accepted media types include: application/json, application/yaml
            $ get sa robot -o name
              Error from server (NotFound): serviceaccounts "robot" not found
            $ get --raw /readyz
              Error from server (ServiceUnavailable): the server is currently unable to handle the request
            $ replace -f -
              Error from server (NotFound): error when replacing "STDIN": secrets "s" not found
            $ get nothing
              error: the server doesn't have a resource type "nothing"
            $ delete secret none
              Error from server (NotFound): secrets "none" not found
        "#]],
    );
}

#[test]
fn definitions() {
    let script = r#"
        apply -f - <<< DEFINITION
        wait --for=condition=Established crd/widgets.example.com --timeout=5s
        get crd
        api-resources --api-group=example.com
        apply -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":1}}
        apply -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":2}}
        apply -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"bad"},"spec":{"size":2,"unknown":1}}
        apply --server-side -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"v"},"spec":{"size":3}}
        get wd
        get widgets.v1beta1.example.com w -o jsonpath={.apiVersion}
        explain widget.spec
        scale widget w --replicas=4
        describe widget w
        patch widget w --subresource=status --type=merge -p {"status":{"ready":true}}
        get widget w -o jsonpath={.status}
        get all
        delete crd widgets.example.com
        get widgets
    "#;
    check(&script.replace("DEFINITION", &widgets()), expect![[r#"
        $ apply -f -
          customresourcedefinition.apiextensions.k8s.io/widgets.example.com created
        $ wait --for=condition=Established crd/widgets.example.com --timeout=5s
          customresourcedefinition.apiextensions.k8s.io/widgets.example.com condition met
        $ get crd
          NAME                  CREATED AT
          widgets.example.com   2026-11-23T00:17:41Z
        $ api-resources --api-group=example.com
          NAME      SHORTNAMES   APIVERSION       NAMESPACED   KIND
          widgets   wd           example.com/v1   true         Widget
        $ apply -f -
          widget.example.com/w created
        $ apply -f -
          widget.example.com/w configured
        $ apply -f -
          Error from server (BadRequest): error when creating "STDIN": strict decoding error: unknown field "spec.unknown"
        $ apply --server-side -f -
          widget.example.com/v serverside-applied
        $ get wd
          NAME   SIZE
          v      3
          w      2
        $ get widgets.v1beta1.example.com w -o jsonpath={.apiVersion}
          example.com/v1beta1
        $ explain widget.spec
          GROUP:      example.com
          KIND:       Widget
          VERSION:    v1
  
          FIELD: spec <Object>
  
  
          DESCRIPTION:
              <empty>
          FIELDS:
            color	<string>
            enum: red, blue
              <no description>
  
            parts	<[]Object>
              <no description>
  
            replicas	<integer>
              <no description>
  
            size	<integer> -required-
              <no description>
  
  
        $ scale widget w --replicas=4
          widget.example.com/w scaled
        $ describe widget w
          Name:         w
          Namespace:    default
          Labels:       <none>
          Annotations:  <none>
          API Version:  example.com/v1
          Kind:         Widget
          Metadata:
            Creation Timestamp:  2026-11-23T00:17:41Z
            Generation:          3
            Resource Version:    8
            UID:                 5c874d56-29b6-4877-ad0f-efec8fbcf8cd
          Spec:
            Color:     red
            Replicas:  4
            Size:      2
          Events:      <none>
        $ patch widget w --subresource=status --type=merge -p {"status":{"ready":true}}
          widget.example.com/w patched
        $ get widget w -o jsonpath={.status}
          {"ready":true}
        $ get all
          NAME                   SIZE
          widget.example.com/v   3
          widget.example.com/w   2
        $ delete crd widgets.example.com
          customresourcedefinition.apiextensions.k8s.io "widgets.example.com" deleted
        $ get widgets
          Error from server (NotFound): Unable to list "example.com/v1, Resource=widgets": the server could not find the requested resource
    "#]]);
}

#[test]
fn a_watch_prints_changes() {
    let Some(text) = run("get ns -w --request-timeout=2s --output-watch-events") else { return };
    assert!(text.contains("ADDED") && text.contains("kube-system"), "{text}");
    let _ = Duration::from_secs(1);
}

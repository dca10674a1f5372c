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
        create role r --verb=get --resource=pods
        create rolebinding rb --role=r --serviceaccount=default:robot
        create clusterrolebinding crb --clusterrole=view --user=bob
        create job j --image=busybox -- echo hi
        create cronjob cj --image=busybox --schedule=*/1~*~*~*~* -- echo hi
        create service clusterip svc --tcp=80:8080
        get svc svc -o jsonpath={.spec}
        create ingress ing --rule=example.com/=svc:80
        create quota q --hard=cpu=1,memory=1Gi
        get quota q -o jsonpath={.spec}
        create priorityclass low --value=0
        create pdb p --selector=app=x --min-available=1
        run pod --image=busybox --env=A=b
        get pods
        expose pod pod --port=80 --name=exposed
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
              configmap/a created
            $ get configmap a -o jsonpath={.data}
              {"k":"v"}
            $ get cm
              NAME   DATA   AGE
              a      1      ?
            $ label cm a app=x
              configmap/a labeled
            $ annotate cm a note=hello
              configmap/a annotated
            $ patch cm a -p {"data":{"l":"w"}}
              configmap/a patched
            $ patch cm a --type=merge -p {"data":{"l":"x"}}
              configmap/a patched
            $ patch cm a --type=json -p [{"op":"remove","path":"/data/l"}]
              configmap/a patched
            $ get cm -l app=x -o name
              configmap/a
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
            $ create secret generic s --from-literal=p=hunter2
              secret/s created
            $ get secret s
              NAME   TYPE     DATA   AGE
              s      Opaque   1      ?
            $ create deployment web --image=nginx
              deployment.apps/web created
            $ scale deployment web --replicas=3
              deployment.apps/web scaled
            $ get deployment web -o jsonpath={.spec.replicas}
              3
            $ set image deployment/web nginx=nginx:2
              deployment.apps/web image updated
            $ wait --for=jsonpath={.spec.replicas}=3 deployment/web --timeout=5s
              deployment.apps/web condition met
            $ rollout restart deployment web
              deployment.apps/web restarted
            $ delete cm a
              configmap "a" deleted
            $ delete cm --all
              configmap "b" deleted
              configmap "c" deleted
            $ get cm
              No resources found in default namespace.
            $ create namespace shop
              namespace/shop created
            $ create configmap x -n shop
              configmap/x created
            $ delete namespace shop
              namespace "shop" deleted
            $ get ns shop
              Error from server (NotFound): namespaces "shop" not found
            $ auth can-i delete pods
              yes
            $ auth whoami
              ATTRIBUTE   VALUE
              Username    fixpoint-admin
              Groups      [system:masters system:authenticated]
            $ get all
              NAME                  READY   UP-TO-DATE   AVAILABLE   AGE
              deployment.apps/web   0/3     0            0           ?
            $ get events
              No resources found in default namespace.
            $ create serviceaccount robot
              serviceaccount/robot created
            $ create role r --verb=get --resource=pods
              role.rbac.authorization.k8s.io/r created
            $ create rolebinding rb --role=r --serviceaccount=default:robot
              rolebinding.rbac.authorization.k8s.io/rb created
            $ create clusterrolebinding crb --clusterrole=view --user=bob
              clusterrolebinding.rbac.authorization.k8s.io/crb created
            $ create job j --image=busybox -- echo hi
              job.batch/j created
            $ create cronjob cj --image=busybox --schedule=*/1~*~*~*~* -- echo hi
              cronjob.batch/cj created
            $ create service clusterip svc --tcp=80:8080
              service/svc created
            $ get svc svc -o jsonpath={.spec}
              {"ports":[{"name":"80-8080","port":80,"protocol":"TCP","targetPort":8080}],"selector":{"app":"svc"},"type":"ClusterIP"}
            $ create ingress ing --rule=example.com/=svc:80
              ingress.networking.k8s.io/ing created
            $ create quota q --hard=cpu=1,memory=1Gi
              resourcequota/q created
            $ get quota q -o jsonpath={.spec}
              {"hard":{"cpu":"1","memory":"1Gi"}}
            $ create priorityclass low --value=0
              priorityclass.scheduling.k8s.io/low created
            $ create pdb p --selector=app=x --min-available=1
              poddisruptionbudget.policy/p created
            $ run pod --image=busybox --env=A=b
              pod/pod created
            $ get pods
              NAME   AGE
              pod    ?
            $ expose pod pod --port=80 --name=exposed
              service/exposed exposed
            $ get sa robot -o name
              serviceaccount/robot
            $ get --raw /readyz
              Error from server (ServiceUnavailable): the server is currently unable to handle the request
            $ replace -f -
              secret/s replaced
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
    check(
        &script.replace("DEFINITION", &widgets()),
        expect![[r#"
            $ apply -f -
              customresourcedefinition.apiextensions.k8s.io/widgets.example.com created
            $ wait --for=condition=Established crd/widgets.example.com --timeout=5s
              customresourcedefinition.apiextensions.k8s.io/widgets.example.com condition met
            $ get crd
              NAME                  CREATED AT
              widgets.example.com   2026-11-23T00:23:26Z
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
                Creation Timestamp:  2026-11-23T00:23:27Z
                Generation:          3
                Resource Version:    8
                UID:                 f6e2b5cb-cc8a-4f39-a97b-46b7d8b78bbe
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
        "#]],
    );
}

#[test]
fn a_watch_prints_changes() {
    let Some(text) = run("get ns -w --request-timeout=2s --output-watch-events") else { return };
    assert!(text.contains("ADDED") && text.contains("kube-system"), "{text}");
    let _ = Duration::from_secs(1);
}

//! The real `kubectl`, where there is one.

use std::io::Write as _;
use std::process::{Command, Stdio};

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
        .env("KUBE_EDITOR", "sed -i 's/size: 2/size: 7/'")
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

/// Runs commands that each say what part of their answer must be; ` => ` stands between.
fn check(script: &str) {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    let (commands, parts): (Vec<&str>, Vec<&str>) =
        lines.map(|line| line.rsplit_once(" => ").unwrap()).unzip();
    let Some(said) = run(&commands.join("\n")) else { return };
    let missing: Vec<String> = said
        .split("$ ")
        .skip(1)
        .zip(&parts)
        .filter(|(answer, part)| !words(answer).contains(&words(part)))
        .map(|(answer, part)| format!("expected {part:?}:\n$ {answer}"))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Columns have other widths in other versions.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_session() {
    check(
        r#"
        version => v1.36.0+fixpoint
        get ns => fixpoint-system Active
        create configmap a --from-literal=k=v => configmap/a created
        get configmap a -o jsonpath={.data} => {"k":"v"}
        get cm => NAME DATA AGE a 1
        label cm a app=x => configmap/a labeled
        annotate cm a note=hello => configmap/a annotated
        patch cm a -p {"data":{"l":"w"}} => configmap/a patched
        patch cm a --type=merge -p {"data":{"l":"x"}} => configmap/a patched
        patch cm a --type=json -p [{"op":"remove","path":"/data/l"}] => configmap/a patched
        get cm -l app=x -o name => configmap/a
        apply -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"1"}} => configmap/b created
        apply -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"1"}} => configmap/b unchanged
        apply -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"2"}} => configmap/b configured
        apply --server-side -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"k":"2"}} => configmap/c serverside-applied
        apply --server-side --field-manager=other -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"k":"3"}} => Apply failed with 1 conflict
        diff -f - <<< {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"},"data":{"k":"5"}} => + k: "5"
        create secret generic s --from-literal=p=hunter2 => secret/s created
        get secret s => s Opaque 1
        create deployment web --image=nginx => deployment.apps/web created
        scale deployment web --replicas=3 => deployment.apps/web scaled
        get deployment web -o jsonpath={.spec.replicas} => 3
        set image deployment/web nginx=nginx:2 => image updated
        wait --for=jsonpath={.spec.replicas}=3 deployment/web --timeout=30s => condition met
        rollout restart deployment web => deployment.apps/web restarted
        delete cm a => configmap "a" deleted
        delete cm --all => configmap "c" deleted
        get cm => No resources found in default namespace.
        create namespace shop => namespace/shop created
        create configmap x -n shop => configmap/x created
        delete namespace shop => namespace "shop" deleted
        get ns shop => namespaces "shop" not found
        delete namespace kube-system => this namespace may not be deleted
        auth can-i delete pods => yes
        auth whoami => fixpoint-admin
        get all => deployment.apps/web 0/3
        get events => No resources found
        create serviceaccount robot => serviceaccount/robot created
        get sa robot -o name => serviceaccount/robot
        create role r --verb=get --resource=pods => role.rbac.authorization.k8s.io/r created
        create rolebinding rb --role=r --serviceaccount=default:robot => rb created
        create clusterrolebinding crb --clusterrole=view --user=bob => crb created
        create job j --image=busybox -- echo hi => job.batch/j created
        create cronjob cj --image=busybox --schedule=*/1~*~*~*~* -- echo hi => cronjob.batch/cj created
        create service clusterip svc --tcp=80:8080 => service/svc created
        get svc svc -o jsonpath={.spec.ports} => "targetPort":8080
        create ingress ing --rule=example.com/=svc:80 => ingress.networking.k8s.io/ing created
        create quota q --hard=cpu=1,memory=1Gi => resourcequota/q created
        get quota q -o jsonpath={.spec} => {"hard":{"cpu":"1","memory":"1Gi"}}
        create priorityclass low --value=0 => low created
        create pdb p --selector=app=x --min-available=1 => p created
        run pod --image=busybox --env=A=b => pod/pod created
        get pods => pod
        expose pod pod --port=80 --name=exposed => service/exposed exposed
        replace -f - <<< {"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"p":"aGk="},"type":"Opaque"} => secret/s replaced
        get nothing => the server doesn't have a resource type "nothing"
        delete secret none => secrets "none" not found
        get ns --chunk-size=1 -o name => namespace/kube-system
        get --raw /livez => ok
        "#,
    );
}

#[test]
fn definitions() {
    let script = r#"
        apply -f - <<< DEFINITION => customresourcedefinition.apiextensions.k8s.io/widgets.example.com created
        wait --for=condition=Established crd/widgets.example.com --timeout=30s => condition met
        get crd => widgets.example.com
        api-resources --api-group=example.com => widgets wd example.com/v1 true Widget
        apply -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":1}} => w created
        apply -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":2}} => w configured
        apply -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"bad"},"spec":{"size":2,"unknown":1}} => unknown field "spec.unknown"
        apply --server-side -f - <<< {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"v"},"spec":{"size":3}} => v serverside-applied
        get wd => NAME SIZE v 3 w 2
        get widgets.v1beta1.example.com w -o jsonpath={.apiVersion} => example.com/v1beta1
        explain widget.spec => size <integer> -required-
        scale widget w --replicas=4 => widget.example.com/w scaled
        describe widget w => Replicas: 4
        patch widget w --subresource=status --type=merge -p {"status":{"ready":true}} => patched
        get widget w -o jsonpath={.status} => {"ready":true}
        get all => widget.example.com/w 2
        edit widget w => edited
        delete crd widgets.example.com => "widgets.example.com" deleted
        get widgets => Error
    "#;
    check(&script.replace("DEFINITION", &widgets()));
}

#[test]
fn a_watch_prints_changes() {
    let Some(text) = run("get ns -w --request-timeout=2s --output-watch-events") else { return };
    assert!(text.contains("ADDED") && text.contains("kube-system"), "{text}");
}

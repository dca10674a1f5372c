//! A cluster as home, with the embedded API server in the place of a cluster: what needs a real one
//! is in the suite `install` of `cargo xtask e2e`.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use super::harness::{Engine, Home, wait};

fn controller(home: &Home, kubeconfig: &Path, data_dir: &Path) -> Engine {
    let mut command = home.command(&["controller", "--listen", "127.0.0.1:0"]);
    command.args(["--engine-listen", "127.0.0.1:0"]);
    command.arg("--kubeconfig").arg(kubeconfig).arg("--data-dir").arg(data_dir);
    Engine::spawn(command, data_dir, home.produced())
}

#[track_caller]
fn prints(engine: &Engine, wanted: &str) {
    wait(wanted, || engine.printed().contains(wanted).then_some(()));
}

#[test]
fn a_controller_is_told_which_cluster() {
    let home = Home::new();
    let said = home.run_for(1, &["controller"]);
    assert!(said.err.contains("no cluster is named"), "{said:?}");
    assert!(said.err.contains("--kubeconfig"), "{said:?}");
    let said = home.run_for(1, &["controller", "--in-cluster"]);
    assert!(said.err.contains("does not run in a pod"), "{said:?}");
    let said = home.run_for(1, &["install"]);
    assert!(said.err.contains("~/.kube/config is not read"), "{said:?}");
    let said = home.run_for(64, &["controller", "--in-cluster", "--kubeconfig", "x"]);
    assert!(said.err.contains("cannot be used with"), "{said:?}");
}

#[test]
fn a_controller_runs_no_program_to_log_in() {
    let home = Home::new();
    let (file, proof) = (home.path().join("config"), home.path().join("it-ran"));
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": {"command": "touch",
            "args": [proof.to_str().unwrap()],
            "apiVersion": "client.authentication.k8s.io/v1"}}}]});
    std::fs::write(&file, text.to_string()).unwrap();
    let said = home.run_for(1, &["controller", "--kubeconfig", file.to_str().unwrap()]);
    assert!(said.err.contains("runs no program to log in"), "{said:?}");
    assert!(!proof.exists());
}

#[test]
fn an_installation_is_printed_with_the_policy_before_the_kinds() {
    let home = Home::new();
    let said = home.run_for(0, &["install", "--export", "--image", "example.org/fixpoint:1"]);
    let limits = fixpoint_base::Limits::default();
    let objects = fixpoint_yaml::parse(said.out.as_bytes(), &limits).expect("it is YAML");
    let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    let place = |kind: &str| kinds.iter().position(|found| *found == kind).expect("it is there");
    assert!(place("ValidatingAdmissionPolicyBinding") < place("CustomResourceDefinition"));
    assert!(place("Namespace") < place("Deployment"));
    assert!(said.out.contains("image: \"example.org/fixpoint:1\""));
    let all = kinds.len();

    let said = home.run_for(0, &["install", "--export", "--without-admin"]);
    let objects = fixpoint_yaml::parse(said.out.as_bytes(), &limits).expect("it is YAML");
    assert_eq!(objects.len(), all - 1);
    assert!(!said.out.contains("name: cluster-admin"));

    let said = home.run_for(1, &["install", "--export", "--image", "a\nb: c"]);
    assert!(said.err.contains("is not the name of an image"), "{said:?}");
}

#[test]
fn one_replica_leads_and_the_next_follows() {
    let home = Home::new();
    let _cluster = home.up();
    let kubeconfig = home.data_dir().join("kubeconfig");
    let data = home.path().join("controller");

    let first = controller(&home, &kubeconfig, &data);
    prints(&first, "ready: leading");
    let second = controller(&home, &kubeconfig, &data);
    prints(&second, "standing by: ");
    let (status, _) = first.stop();
    assert!(status.success(), "{status}");
    prints(&second, "ready: leading");

    // The directory is the cluster's now.
    let data = data.to_str().unwrap();
    let said = home.run_for(1, &["up", "--data-dir", data, "--listen", "127.0.0.1:0"]);
    assert!(said.err.contains("belongs to a cluster"), "{said:?}");
    second.signal(Signal::INT);
    let mut second = second;
    assert!(second.ended().success());
    let own = home.data_dir();
    let mut third = controller(&home, &kubeconfig, &own);
    assert_eq!(third.ended().code(), Some(1));
    assert!(third.logs().contains("belongs to a standalone engine"), "{}", third.logs());
}

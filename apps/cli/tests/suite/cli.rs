//! How the commands behave: help, exit codes, formats, and errors that say what to do.

use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;
use fixpoint_fixture::free_port;

use crate::harness::{Engine, Home, Said, Scene};

#[test]
fn every_command_explains_itself_with_examples() {
    let home = Home::new();
    let help = home.run_for(0, &["--help"]);
    let (_, commands) = help.out.split_once("Commands:").expect("there are commands");
    let (commands, _) = commands.split_once("\n\n").expect("options follow");
    let names: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 10, "{names:?}");
    let mut lines: Vec<Vec<&str>> = names.iter().map(|name| vec![*name]).collect();
    lines.push(vec!["ledger", "log"]);
    lines.push(vec!["ledger", "verify"]);
    for mut line in lines {
        line.push("--help");
        let help = home.run_for(0, &line);
        let (_, examples) = help.out.split_once("Examples:\n").unwrap_or_else(|| {
            panic!("{line:?} has no examples: {}", help.out);
        });
        let example = format!("fixpoint {}", line[..line.len() - 1].join(" "));
        assert!(examples.contains(&example), "{line:?}: {examples}");
        assert_eq!(help.err, "");
    }
}

#[test]
fn wrong_usage_exits_with_64() {
    let home = Home::new();
    for args in [
        &["gett"][..],
        &[],
        &["get", "-o", "xml"],
        &["reconcile"],
        &["up", "--listen", "everywhere"],
        &["ledger", "burn"],
        &["build", "--limits", "some"],
        &["why", "a", "b", "c", "d"],
    ] {
        let said = home.run_for(64, args);
        assert!(said.err.contains("Usage:") || said.err.contains("--help"), "{said:#?}");
        assert_eq!(said.out, "");
    }
}

#[test]
fn without_an_engine_commands_say_how_to_start_one() {
    let home = Home::new();
    let said = home.run_for(1, &["get", "all"]);
    expect![[r#"
        error: there is no kubeconfig at /HOME/fixpoint/kubeconfig
        hint: start the engine with `fixpoint up`, or name a kubeconfig with --kubeconfig
    "#]]
    .assert_eq(&said.err.replace(home.path().to_str().unwrap(), "/HOME"));

    let engine = home.up();
    let port = engine.address().rsplit(':').next().unwrap().to_owned();
    engine.stop();
    let said = home.run_for(1, &["get", "all"]);
    let err = said.err.replace(&port, "PORT");
    assert!(
        err.starts_with("error: could not reach the engine at https://127.0.0.1:PORT"),
        "{said:#?}"
    );
    assert!(err.ends_with("hint: is `fixpoint up` running?\n"), "{said:#?}");
    let said = home.run_for(0, &["version"]);
    assert!(said.out.ends_with("no engine is running here\n"), "{said:#?}");
}

#[test]
fn objects_that_are_not_there_and_kinds_that_are_not_kept() {
    let home = Home::new();
    let _engine = home.up();
    let errors = |args: &[&str]| home.run_for(1, args).err;
    expect![[r#"
        error: gitrepositories.source.toolkit.fluxcd.io "nope" not found
    "#]]
    .assert_eq(&errors(&["get", "source/nope"]));
    expect![[r#"
        error: kustomizations.kustomize.toolkit.fluxcd.io "nope" not found
    "#]]
    .assert_eq(&errors(&["reconcile", "ks/nope"]));
    expect![[r#"
        error: Kustomization/default/nope does not exist
    "#]]
    .assert_eq(&errors(&["why", "ks/nope"]));
    expect![[r#"
        error: Kustomization/default/nope does not exist
    "#]]
    .assert_eq(&errors(&["plan", "ks/nope"]));
    expect![[r#"
        error: kustomizations.kustomize.toolkit.fluxcd.io "nope" not found
    "#]]
    .assert_eq(&errors(&["suspend", "ks/nope"]));
    expect![[r#"
        error: gitrepositories.source.toolkit.fluxcd.io "nope" not found
    "#]]
    .assert_eq(&errors(&["ack", "source/nope"]));
    expect![[r#"
        error: "pod" is not a kind that the engine keeps
        hint: use gitrepository/NAME (also gitrepo, source) or kustomization/NAME (also ks, delivery)
    "#]]
    .assert_eq(&errors(&["get", "pod/x"]));
    expect![[r#"
        error: a source is not applied, so there is no plan for it
        hint: name a delivery, such as kustomization/apps
    "#]]
    .assert_eq(&errors(&["plan", "source/nope"]));
    let said = home.run_for(0, &["get", "all"]);
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("", "nothing is declared in namespace default\n")
    );
}

#[test]
fn formats_for_people_and_for_programs() {
    let scene = Scene::new();
    let home = &scene.home;
    let table = home.run_for(0, &["get", "all"]);
    let first: Vec<&str> = table.out.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(first, ["KIND", "NAME", "READY", "REVISION", "AGE", "STATUS"]);
    assert_eq!(table.out.lines().count(), 5);
    expect![[r#"
        gitrepository/neighbour
        gitrepository/shop
        kustomization/neighbour
        kustomization/shop
    "#]]
    .assert_eq(&home.run_for(0, &["get", "all", "-o", "name"]).out);
    let list = home.run_for(0, &["get", "kustomizations", "-A", "-o", "json"]).json();
    assert_eq!(list["kind"], "List");
    assert_eq!(list["items"][1]["metadata"]["name"], "shop");
    let yaml = home.run_for(0, &["get", "ks/shop", "-o", "yaml"]).out;
    assert!(yaml.starts_with("apiVersion: kustomize.toolkit.fluxcd.io/v1\n"), "{yaml}");
    let flux = home.run_for(0, &["get", "source", "git", "shop", "-o", "json"]).json();
    assert_eq!(flux["spec"]["url"], scene.shop.url().as_str());

    let why = home.run_for(0, &["why", "ks/shop", "-o", "json"]).json();
    assert_eq!(why["settled"], true);
    let plan = home.run_for(0, &["plan", "ks/shop"]);
    assert!(plan.out.ends_with("nothing to do: it is at its fixpoint\n"), "{plan:#?}");
    let plan = home.run_for(0, &["plan", "ks/shop", "-o", "json"]).json();
    assert_eq!(plan["changes"], 0);
    let log = home.run_for(0, &["ledger", "log", "-o", "json"]).json();
    assert_eq!(log[0]["kind"], "genesis");
    let verify = home.run_for(0, &["ledger", "verify", "-o", "json"]).json();
    assert_eq!(verify["problems"], serde_json::json!([]));
    let version = home.run_for(0, &["version", "-o", "json"]).json();
    assert_eq!(version["server"]["address"], format!("https://{}/", scene.engine.address()));
    let events = home.run_for(0, &["events", "--for", "ks/shop", "-o", "json"]).json();
    assert_eq!(events["involvedObject"]["name"], "shop", "{events:#}");
}

#[test]
fn what_changes_or_is_held_exits_with_2() {
    let scene = Scene::new();
    let home = &scene.home;
    let suspended = home.run_for(0, &["suspend", "ks/shop"]);
    assert_eq!(suspended.out, "delivery/shop suspended\n");
    let said = home.run_for(1, &["reconcile", "ks/shop"]);
    expect![[r#"
        error: delivery/shop is suspended
        hint: resume it with `fixpoint resume delivery/shop`
    "#]]
    .assert_eq(&said.err);
    let next = crate::harness::config_map("shop", "next");
    let commit = scene.shop.commit(&[("deploy/shop.yaml", &next)]);
    home.run_for(0, &["reconcile", "source", "git", "shop"]);
    let plan = home.run_for(2, &["plan", "ks/shop"]);
    assert!(plan.out.contains("+  state: next"), "{plan:#?}");
    assert!(plan.out.ends_with("1 change\n"), "{plan:#?}");
    home.run_for(0, &["resume", "kustomization", "shop"]);
    home.run_for(0, &["reconcile", "ks/shop", "--with-source"]);
    scene.converges("shop", &commit);

    // A branch that goes back is held until somebody answers for it.
    scene.shop.reset("HEAD~1");
    home.run_for(2, &["reconcile", "source/shop"]);
    let table = home.run_for(2, &["get", "all"]);
    assert!(table.out.contains("Held"), "{table:#?}");
    home.run_for(2, &["why", "source/shop"]);
    let ack = home.run_for(0, &["ack", "source/shop", "--reason", "the commit was wrong"]);
    assert!(ack.out.starts_with("source/shop: acknowledged "), "{ack:#?}");
    scene.converges("shop", &scene.shop.head());
    let said = home.run_for(1, &["ack", "source/shop"]);
    assert!(said.err.starts_with("error: source/shop holds nothing\n"), "{said:#?}");
    let log = home.run_for(0, &["ledger", "log", "--for", "GitRepository/default/shop"]);
    assert!(log.out.contains("the commit was wrong"), "{log:#?}");
    assert!(log.out.contains("rollback"), "{log:#?}");
}

#[test]
fn an_engine_that_cannot_start_says_why() {
    let home = Home::new();
    let said = home.run_for(1, &["up", "--listen", "0.0.0.0:0"]);
    expect![[r#"
        error: 0.0.0.0:0 is not a loopback address
        hint: listen on 127.0.0.1 or [::1]; put a proxy of your own in front to serve others
    "#]]
    .assert_eq(&said.err);

    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = home.run_for(1, &["up", "--listen", &address]);
    expect![[r#"
        error: 127.0.0.1:PORT is taken by another process
        hint: choose another port with --listen 127.0.0.1:PORT, or 0 for a free one
    "#]]
    .assert_eq(&said.err.replace(&address, "127.0.0.1:PORT"));

    let said =
        home.run_for(1, &["up", "--listen", "127.0.0.1:0", "--allow-file-sources", "/no/such"]);
    assert!(said.err.contains("/no/such of --allow-file-sources"), "{said:#?}");
    let said = home.run_for(1, &["up", "--listen", "127.0.0.1:0", "-f", "/no/such.yaml"]);
    assert!(said.err.contains("could not read /no/such.yaml"), "{said:#?}");
    let said = home.run_for(1, &["up", "--listen", "127.0.0.1:0", "--data-dir", "/dev/null/x"]);
    assert!(said.err.contains("/dev/null/x"), "{said:#?}");

    let _engine = home.up();
    let second = home.run_for(1, &["up", "--listen", "127.0.0.1:0"]);
    let port = free_port().to_string();
    let third = home.run_for(1, &["up", "--listen", &format!("127.0.0.1:{port}")]);
    for said in [second, third] {
        assert!(said.err.contains("another engine"), "{said:#?}");
        assert!(said.err.contains("/fixpoint"), "{said:#?}");
        assert!(said.err.contains("hint: stop the other engine"), "{said:#?}");
        assert_eq!(said.out, "");
    }
    home.run_for(0, &["ledger", "verify"]);
}

#[test]
fn manifests_given_at_start_are_applied_in_an_order_that_works() {
    let home = Home::new();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    std::fs::create_dir(home.path().join("folder")).unwrap();
    write(
        "folder/a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, namespace: team}\ndata: {a: b}\n",
    );
    write("folder/z.yml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n");
    write("folder/notes.txt", "not: [yaml");
    write("one.json", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}"#);
    let folder = home.path().join("folder");
    let one = home.path().join("one.json");
    let engine = home.up_with(&["-f", folder.to_str().unwrap(), "-f", one.to_str().unwrap()]);
    engine.api().wait("ConfigMap", "one", "be there", |_| true);
    let late = engine.api().read("/api/v1/namespaces/team/configmaps/late").granted();
    assert_eq!(late["data"]["a"], "b");
    engine.stop();

    for (text, words) in [
        ("a: [", "is not valid YAML"),
        ("a: b", "holds a document without apiVersion, kind or name"),
    ] {
        write("bad.yaml", text);
        let said = home.run_for(1, &["up", "--listen", "127.0.0.1:0", "-f", "bad.yaml"]);
        assert!(said.err.contains("bad.yaml") && said.err.contains(words), "{said:#?}");
    }
    write("bad.yaml", "apiVersion: example.org/v1\nkind: Unknown\nmetadata: {name: x}\n");
    let said = home.run_for(1, &["up", "--listen", "127.0.0.1:0", "-f", "bad.yaml"]);
    assert!(
        said.err.contains("Unknown/x is of kind Unknown, which the engine does not know"),
        "{said:#?}"
    );
}

#[test]
fn secrets_of_the_installation_are_for_its_owner_only() {
    let home = Home::new();
    let _engine = home.up();
    let dir = home.data_dir();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("kubeconfig")), 0o600);
    let mut folders = vec![dir.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "key") {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
}

#[test]
fn a_folder_is_built_as_a_delivery_would_render_it() {
    let home = Home::new();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("good/kustomization.yaml", "namePrefix: my-\nresources: [map.yaml]\n");
    write("good/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}\n");
    expect![[r#"
        apiVersion: v1
        data:
          x: "y"
        kind: ConfigMap
        metadata:
          name: my-a
    "#]]
    .assert_eq(&home.run_for(0, &["build", "good"]).out);
    assert_eq!(home.run_for(0, &["build", "good", "-o", "name"]).out, "configmap/my-a\n");
    let json = home.run_for(0, &["build", "good", "-o", "json"]).json();
    assert_eq!(json[0]["metadata"]["name"], "my-a");

    write("missing/kustomization.yaml", "resources: [gone.yaml]\n");
    write("remote/kustomization.yaml", "resources: ['https://example.org/base?ref=main']\n");
    write("broken/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [\n");
    write("typo/kustomization.yaml", "resource: [map.yaml]\n");
    std::fs::create_dir(home.path().join("empty")).unwrap();
    let build = |dir: &str| {
        let Said { code, out, err } = home.run(&["build", dir]);
        format!("{dir} {code} {out}{err}")
    };
    let said: String = ["missing", "remote", "broken", "typo", "empty", "nowhere", "good/map.yaml"]
        .map(build)
        .concat();
    expect![[r#"
        missing 1 error: kustomization.yaml: field "resources" names "gone.yaml", which does not exist
        hint: add the file, or remove the entry
        remote 1 error: kustomization.yaml: field "resources" names "https://example.org/base?ref=main", which is not in the source
        hint: copy it into the source: a render never fetches
        broken 1 error: map.yaml:3: unclosed bracket '['
        typo 1 error: kustomization.yaml: field "resource" is unknown
        hint: remove it, or correct its spelling
        empty 0 nowhere 1 error: could not open folder nowhere
          because No such file or directory (os error 2)
        good/map.yaml 1 error: good/map.yaml is not a folder
        hint: name the folder that holds the manifests or the kustomization
    "#]].assert_eq(&said);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let _engine: Engine = home.up();
    let mut child = home
        .command(&["ledger", "log", "-o", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

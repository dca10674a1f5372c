//! What is read of a kubeconfig, what is refused, and that nothing of it is told.

use expect_test::{Expect, expect};
use fixpoint_base::Chain;

use super::*;

const CANARY: &str = "canary-of-the-kubeconfig";

/// A kubeconfig with one context; `cluster` and `user` are lines within theirs.
fn kubeconfig(cluster: &str, user: &str) -> String {
    let indented = |lines: &str| lines.trim().replace('\n', "\n    ");
    let (cluster, user) = (indented(cluster), indented(user));
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: main\ncontexts:\n- name: main\n  context: \
         {{cluster: c, user: u, namespace: x}}\nclusters:\n- name: c\n  cluster:\n    \
         {cluster}\nusers:\n- name: u\n  user:\n    {user}\n"
    )
}

fn told(text: &str) -> String {
    match Access::read(text.as_bytes()) {
        Ok(access) => format!("{access:?}").split(", digest").next().unwrap().to_owned(),
        Err(err) => format!("error: {}", Chain(&err)),
    }
}

fn check(cluster: &str, user: &str, want: Expect) {
    let text = told(&kubeconfig(cluster, user));
    assert!(!text.contains(CANARY), "{text}");
    want.assert_eq(&text);
}

#[test]
fn what_holds_everything_itself_is_read() {
    let pem = BASE64.encode("-----BEGIN CERTIFICATE-----\n");
    let user = format!("client-certificate-data: {pem}\nclient-key-data: {pem}");
    check(
        "server: https://prod.example:6443/k8s/c-1\ntls-server-name: kubernetes",
        &user,
        expect![
            "Access { server: https://prod.example:6443/k8s/c-1, ca: None, tls_server_name: Some(\"kubernetes\"), identity: Identity { certificate: Some(([45, 45, 45, 45, 45, 66, 69, 71, 73, 78, 32, 67, 69, 82, 84, 73, 70, 73, 67, 65, 84, 69, 45, 45, 45, 45, 45, 10], Secret(…))), token: None, basic: None }"
        ],
    );
    check(
        "server: https://prod.example\ninsecure-skip-tls-verify: false\ncertificate-authority: ''",
        &format!("token: {CANARY}"),
        expect![
            "Access { server: https://prod.example/, ca: None, tls_server_name: None, identity: Identity { certificate: None, token: Some(Secret(…)), basic: None }"
        ],
    );
}

#[test]
fn what_reaches_beyond_the_file_is_refused_by_name() {
    let refused = [
        ("cluster", "certificate-authority: /etc/canary-of-the-kubeconfig"),
        ("cluster", "insecure-skip-tls-verify: true"),
        ("cluster", "proxy-url: http://canary-of-the-kubeconfig"),
        ("cluster", "proxy_url: canary-of-the-kubeconfig"),
        ("user", "exec: {command: canary-of-the-kubeconfig}"),
        ("user", "auth-provider: {name: canary-of-the-kubeconfig}"),
        ("user", "client-certificate: canary-of-the-kubeconfig"),
        ("user", "client-key: canary-of-the-kubeconfig"),
        ("user", "tokenFile: canary-of-the-kubeconfig"),
        ("user", "as: canary-of-the-kubeconfig"),
        ("user", "as-groups: [canary-of-the-kubeconfig]"),
        ("user", "as-uid: canary-of-the-kubeconfig"),
        ("user", "as-user-extra: {canary-of-the-kubeconfig: [x]}"),
    ];
    let mut lines = String::new();
    for (part, line) in refused {
        let (cluster, user) = if part == "user" { ("", line) } else { (line, "") };
        let text = told(&kubeconfig(&format!("server: https://a\n{cluster}"), user));
        assert!(!text.contains(CANARY), "{text}");
        lines.push_str(&format!("{text}\n"));
    }
    expect![[r#"
        error: cluster.certificate-authority of the kubeconfig is refused: it would read a file of the engine's machine
        error: cluster.insecure-skip-tls-verify of the kubeconfig is refused: anybody could pass for the cluster
        error: cluster.proxy-url of the kubeconfig is refused: proxies on the way to a cluster are not supported yet
        error: cluster.proxy_url of the kubeconfig is not a known field
        error: user.exec of the kubeconfig is refused: it would run a program on the engine's machine
        error: user.auth-provider of the kubeconfig is refused: it would run a program on the engine's machine
        error: user.client-certificate of the kubeconfig is refused: it would read a file of the engine's machine
        error: user.client-key of the kubeconfig is refused: it would read a file of the engine's machine
        error: user.tokenFile of the kubeconfig is refused: it would read a file of the engine's machine
        error: user.as of the kubeconfig is refused: impersonation is not supported yet
        error: user.as-groups of the kubeconfig is refused: impersonation is not supported yet
        error: user.as-uid of the kubeconfig is refused: impersonation is not supported yet
        error: user.as-user-extra of the kubeconfig is refused: impersonation is not supported yet
    "#]]
    .assert_eq(&lines);
}

#[test]
fn what_makes_no_sense_is_told_without_its_values() {
    let servers = [
        "http://a",
        "https://me:canary-of-the-kubeconfig@a",
        "https://a/?token=canary-of-the-kubeconfig",
        "canary-of-the-kubeconfig",
        "https://a:99999",
        "https://a:",
        "['canary-of-the-kubeconfig']",
        "''",
    ];
    let mut lines = String::new();
    for server in servers {
        lines.push_str(&format!("{}\n", told(&kubeconfig(&format!("server: {server}"), ""))));
    }
    for user in [
        "client-key-data: canary-of-the-kubeconfig!",
        "client-key-data: aGVsbG8=",
        "{token: canary-of-the-kubeconfig, username: a, password: b}",
        "token: [canary-of-the-kubeconfig]",
        "token: \"canary-of-the-kubeconfig\\nx\"",
    ] {
        lines.push_str(&format!("{}\n", told(&kubeconfig("server: https://a", user))));
    }
    let named = kubeconfig("server: https://a\ntls-server-name: canary of the kubeconfig", "");
    lines.push_str(&format!("{}\n", told(&named)));
    let good = kubeconfig("server: https://a", "token: canary-of-the-kubeconfig");
    for (from, to) in [
        ("current-context: main", "current-context: canary-of-the-kubeconfig"),
        ("current-context: main\n", ""),
        ("cluster: c,", "cluster: canary-of-the-kubeconfig,"),
        ("user: u,", "user: canary-of-the-kubeconfig,"),
        ("users:\n", "users:\n- name: u\n  user: {}\n"),
        ("kind: Config", "kind: canary-of-the-kubeconfig"),
        ("kind: Config", "kind: [canary-of-the-kubeconfig"),
        ("kind: Config", "---"),
    ] {
        let broken = good.replacen(from, to, 1);
        assert_ne!(broken, good);
        lines.push_str(&format!("{}\n", told(&broken)));
    }
    assert!(!lines.contains(CANARY), "{lines}");
    expect![[r#"
        error: cluster.server of the kubeconfig does not begin with https://
        error: cluster.server of the kubeconfig has credentials in it
        error: cluster.server of the kubeconfig has a query or a fragment
        error: cluster.server of the kubeconfig does not begin with https://
        error: cluster.server of the kubeconfig has a port that there is not
        error: the kubeconfig cannot be read: line 10, column 22: mapping values are not allowed in this context
        error: cluster.server of the kubeconfig is not text
        error: cluster.server of the kubeconfig is not set
        error: user.client-key-data of the kubeconfig is not base64
        error: user.client-key-data of the kubeconfig holds no PEM
        error: user.token of the kubeconfig stands beside a password; only one of them can be shown
        error: user.token of the kubeconfig is not text
        error: user.token of the kubeconfig has signs in it that no token has
        error: cluster.tls-server-name of the kubeconfig is no name that a server can have
        error: current-context of the kubeconfig names something that contexts does not have
        error: current-context of the kubeconfig is not set
        error: context.cluster of the kubeconfig names something that clusters does not have
        error: context.user of the kubeconfig names something that users does not have
        error: users of the kubeconfig has two entries with the name that context.user asks for
        error: kind of the kubeconfig is not the one of a kubeconfig
        error: the kubeconfig cannot be read: line 3, column 16: illegal placement of ':' indicator
        error: the kubeconfig cannot be read: line 2, column 1: too many documents (the limit is 1)
    "#]]
    .assert_eq(&lines);
}

#[test]
fn the_limit_is_where_it_says() {
    let of = |bytes: usize| {
        let mut text = kubeconfig("server: https://a", "");
        let padding = bytes - text.len() - 2;
        text.push_str(&format!("#{}\n", "x".repeat(padding)));
        told(&text)
    };
    assert!(of(1 << 20).starts_with("Access"), "{}", of(1 << 20));
    assert_eq!(
        of((1 << 20) + 1),
        "error: the kubeconfig has 1048577 bytes, over the limit of 1048576"
    );
}

#[test]
fn a_connection_is_shared_only_where_everything_is_equal() {
    let digest = |cluster: &str, user: &str| {
        Access::read(kubeconfig(cluster, user).as_bytes()).unwrap().digest()
    };
    let base = digest("server: https://a", "token: t");
    assert_eq!(base, digest("server: https://a", "token: t"));
    for (cluster, user) in [
        ("server: https://b", "token: t"),
        ("server: https://a\ntls-server-name: t", ""),
        ("server: https://a\ntls-server-name: x", "token: t"),
        ("server: https://a", "token: u"),
        ("server: https://a", "username: t\npassword: t"),
        ("server: https://a", ""),
    ] {
        assert_ne!(base, digest(cluster, user), "{cluster} {user}");
    }
}

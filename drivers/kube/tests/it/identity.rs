//! Which cluster answers, and what is said where none does.

use expect_test::{Expect, expect};
use fixpoint_base::{Chain, Classified as _};

use crate::script::Server;

async fn check(answer: &str, want: Expect) {
    let server = Server::new(&format!("GET /api/v1/namespaces/kube-system -> {answer} …"));
    want.assert_eq(&match server.target().cluster().await {
        Ok(uid) => format!("uid {uid}"),
        Err(err) => {
            let hint = err.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{:?}: {}{hint}", err.class(), Chain(&err))
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_the_uid_of_its_namespace_kube_system() {
    check(
        r#"200 {"metadata":{"uid":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}}"#,
        expect!["uid 6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
    )
    .await;
    // It goes into names on record, so it is not just anything.
    check(r#"200 {"metadata":{"uid":"in-process/../x"}}"#, expect!["Transient: could not tell the cluster by Namespace/kube-system: the answer of the server makes no sense: the namespace has no uid"]).await;
    check(r#"200 {"metadata":{"uid":""}}"#, expect!["Transient: could not tell the cluster by Namespace/kube-system: the answer of the server makes no sense: the namespace has no uid"]).await;
    check("200 {}", expect!["Transient: could not tell the cluster by Namespace/kube-system: the answer of the server makes no sense: the namespace has no uid"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stranger_says_is_not_repeated() {
    check(
        r#"403 {"message":"namespaces is forbidden: CANARY","reason":"Forbidden"}"#,
        expect!["Refused: may not tell the cluster by Namespace/kube-system: Forbidden (see that the cluster knows the credentials, and allow the identity of the kubeconfig to get the namespace kube-system)"],
    )
    .await;
    check(r#"401 {"message":"CANARY","reason":"Unauthorized"}"#, expect!["Refused: may not tell the cluster by Namespace/kube-system: Unauthorized (see that the cluster knows the credentials, and allow the identity of the kubeconfig to get the namespace kube-system)"]).await;
    check("404 <html>CANARY</html>", expect!["Transient: could not tell the cluster by Namespace/kube-system: the answer of the server makes no sense: it is no cluster, or lost that namespace"]).await;
    check("500 <html>CANARY</html>", expect!["Transient: could not tell the cluster by Namespace/kube-system: the server answered 500"]).await;
    check("302 <html>CANARY</html>", expect!["Transient: could not tell the cluster by Namespace/kube-system: the answer of the server makes no sense: it is a 302"]).await;
    check(
        "hang",
        expect!["Transient: could not tell the cluster by Namespace/kube-system within 15 s"],
    )
    .await;
    check("break", expect!["Transient: could not tell the cluster by Namespace/kube-system: the API server cannot be reached: ServiceError: the connection broke"]).await;
}

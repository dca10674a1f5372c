//! `fixpoint ack`: takes responsibility for what the engine held.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::get::condition;
use super::kind::{Kind, Target};
use crate::client::{Client, Connection};
use crate::output;
use crate::report::advice;

/// Acknowledge a violation or a guarded deletion, so that it is delivered.
///
/// The acknowledgement names exactly what is held now; anything that happens later is held
/// again. Who acknowledged, when and why is recorded in the ledger.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint ack source/shop --reason \"history was cleaned of a leaked key\"
  fixpoint ack kustomization/apps --reason \"the old shop is retired\"")]
pub struct Args {
    /// KIND/NAME (Flux's spellings work too)
    #[arg(required = true, num_args = 1..=3, value_name = "KIND/NAME")]
    what: Vec<String>,
    /// Why this is right; recorded in the ledger
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let client = connection.client().await?;
    let target = Target::parse(&args.what)?;
    let api = target.kind.api(&client, &client.namespace);
    let object = api.get(&target.name).await.map_err(|err| client.explain(err))?;
    let object = serde_json::to_value(object)?;
    let (prefix, held) = match target.kind {
        Kind::GitRepository => ("source.fixpoint.dev", held(&object, "GitSemantics", "False")),
        Kind::Kustomization => {
            // While the target is another one, nothing else can be answered for.
            let stranger = held(&object, "TargetIdentity", "False");
            let held = stranger.or_else(|| held(&object, "DeletionGuard", "True"));
            ("delivery.fixpoint.dev", held)
        }
    };
    let Some(id) = held else {
        return Err(advice(
            format!("{}/{} holds nothing", target.kind.word(), target.name),
            format!("see `fixpoint why {}/{}`", target.kind.word(), target.name),
        ));
    };
    // A standalone engine writes the author itself; in a cluster a policy checks this one.
    let author = whoami(&client).await?;
    let patch = json!({"metadata": {"annotations": {
        format!("{prefix}/acknowledge"): id,
        format!("{prefix}/acknowledge-by"): author,
        format!("{prefix}/acknowledge-reason"): args.reason,
    }}});
    api.patch(&target.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|err| client.explain(err))?;
    output::line(format!("{}/{}: acknowledged {id}", target.kind.word(), target.name));
    Ok(ExitCode::SUCCESS)
}

/// The name under which the API server knows us.
async fn whoami(client: &Client) -> Result<String> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())?;
    let answer: Value = client.kube.request(request).await.map_err(|err| client.explain(err))?;
    let name = answer["status"]["userInfo"]["username"].as_str();
    name.map(str::to_owned).context("the API server does not say who we are")
}

/// The id at the end of the condition's message: `… [ack 3f2a91c0d4e5]`.
pub fn held(object: &Value, kind: &str, when: &str) -> Option<String> {
    let condition = condition(object, kind);
    if condition["status"] != when {
        return None;
    }
    let message = condition["message"].as_str()?;
    let (_, id) = message.rsplit_once("[ack ")?;
    Some(id.trim_end_matches(']').to_owned())
}

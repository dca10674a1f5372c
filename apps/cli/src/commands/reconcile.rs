//! `fixpoint reconcile`: asks for a run now and waits for what comes of it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::get;
use super::kind::{Kind, Target};
use crate::client::{Client, Connection};
use crate::output;
use crate::report::{CHANGES, advice};

const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// Ask for a run now, and wait for its result.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint reconcile kustomization/apps
  fixpoint reconcile kustomization/apps --with-source
  fixpoint reconcile source git shop

Exits 2 when the object is held.")]
pub struct Args {
    /// KIND/NAME (Flux's spellings work too)
    #[arg(required = true, num_args = 1..=3, value_name = "KIND/NAME")]
    what: Vec<String>,
    /// Look at the delivery's source first
    #[arg(long)]
    with_source: bool,
    /// How long to wait for the result, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let client = connection.client().await?;
    let target = Target::parse(&args.what)?;
    let timeout = Duration::from_secs(args.timeout);
    if args.with_source && target.kind == Kind::Kustomization {
        let (source, namespace) = source_of(&client, &target).await?;
        request(&client, &source, &namespace, timeout).await?;
    }
    let object = request(&client, &target, &client.namespace, timeout).await?;
    let ready = get::ready(&object);
    let message = ready["message"].as_str().unwrap_or_default();
    output::line(format!("{}/{}: {message}", target.kind.word(), target.name));
    Ok(match ready["status"].as_str() {
        _ if get::is_held(&object) => ExitCode::from(CHANGES),
        Some("True") => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    })
}

async fn source_of(client: &Client, target: &Target) -> Result<(Target, String)> {
    let api = target.kind.api(client, &client.namespace);
    let delivery = api.get(&target.name).await.map_err(|err| client.explain(err))?;
    let source = &delivery.data["spec"]["sourceRef"];
    let kind = source["kind"].as_str().unwrap_or_default().parse()?;
    let name = source["name"].as_str().unwrap_or_default().to_owned();
    let namespace = source["namespace"].as_str().unwrap_or(&client.namespace).to_owned();
    Ok((Target { kind, name }, namespace))
}

/// Annotates the object with a new request and waits until a run has handled it.
async fn request(
    client: &Client,
    target: &Target,
    namespace: &str,
    timeout: Duration,
) -> Result<Value> {
    let api = target.kind.api(client, namespace);
    let token = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {REQUESTED_AT: token}}});
    let patched = api
        .patch(&target.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|err| client.explain(err))?;
    if patched.data["spec"]["suspend"] == true {
        return Err(advice(
            format!("{}/{} is suspended", target.kind.word(), target.name),
            format!("resume it with `fixpoint resume {}/{}`", target.kind.word(), target.name),
        ));
    }
    let began = Instant::now();
    // A poll of one object costs less than a watch for a wait that ends within a second.
    let mut pause = Duration::from_millis(20);
    while began.elapsed() < timeout {
        let object = api.get(&target.name).await.map_err(|err| client.explain(err))?;
        if object.data["status"]["lastHandledReconcileAt"] == token.as_str() {
            return Ok(serde_json::to_value(object)?);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    Err(advice(
        format!(
            "{}/{} was not handled within {} s",
            target.kind.word(),
            target.name,
            timeout.as_secs()
        ),
        format!("see `fixpoint why {}/{}`", target.kind.word(), target.name),
    ))
}

//! `fixpoint install`: what the engine needs in a cluster, printed or applied.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fixpoint_cluster::install::Installation;
use fixpoint_cluster::installed::{self, NotInstalled};
use fixpoint_cluster::names::{INSTALLER, NAMESPACE};
use tokio::time::Instant;

use super::up;
use crate::client::{Client, Connection};
use crate::output;
use crate::report::advice;

/// Install the engine into a Kubernetes cluster, or print the manifests.
///
/// Applies definitions, namespace, ServiceAccounts, roles, the policy on acknowledgements, a
/// volume claim and the Deployment by server-side apply, and waits until the definitions are
/// served. Running it again changes only what differs. Which cluster is never guessed: the
/// kubeconfig is named with --kubeconfig or $KUBECONFIG.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint install --export > fixpoint.yaml
  fixpoint install --kubeconfig cluster.kubeconfig --image registry.example.org/fixpoint:0.1.0")]
pub struct Args {
    /// Print the manifests and apply nothing
    #[arg(long)]
    export: bool,
    /// Image of the Deployment; docs/Containerfile makes one
    #[arg(long, value_name = "IMAGE", default_value = concat!("fixpoint:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// Leave out the binding to cluster-admin; bind the ServiceAccount to what it shall deliver
    #[arg(long)]
    without_admin: bool,
}

/// Definitions are served within a second or two; a cluster that takes longer is in trouble.
const SERVED: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    let Args { export, image, without_admin } = args;
    let installation = Installation { image, admin: !without_admin };
    if export {
        output::line(installation.text()?.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let client = connection.named_client().await?;
    let objects = installation.objects()?;
    let count = objects.len();
    up::apply(&client.kube, INSTALLER, objects)
        .await
        .with_context(|| format!("could not install into {}", client.server))?;
    until_served(&client).await?;
    output::line(format!("installed {count} objects into {}; its kinds are served", client.server));
    output::line(format!("watch it start with: kubectl -n {NAMESPACE} get pods"));
    Ok(ExitCode::SUCCESS)
}

async fn until_served(client: &Client) -> Result<()> {
    let until = Instant::now() + SERVED;
    loop {
        match installed::check(&client.kube).await {
            Ok(()) => return Ok(()),
            Err(err @ NotInstalled::Forbidden { .. }) => return Err(err.into()),
            Err(err) if Instant::now() >= until => {
                return Err(advice(
                    format!("after {} s: {err}", SERVED.as_secs()),
                    "see `kubectl describe crd` for what stands in the way",
                ));
            }
            // A server that has just taken them needs a moment.
            Err(NotInstalled::Definitions(_) | NotInstalled::Unreadable(_)) => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

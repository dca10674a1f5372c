//! `fixpoint up`: the standalone engine in the foreground.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use fixpoint_base::{Limits, object};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Connection, plain};
use crate::engine::{self, Running, Settings};
use crate::output;
use crate::page::PageAt;
use crate::report::advice;

/// Run the standalone engine in the foreground: embedded API server, store, controllers.
///
/// Writes a kubeconfig to the data directory, prints one line with `ready`, its address and that
/// of the page once it serves (`fixpoint web` signs in to the page), and runs until SIGTERM or Ctrl-C; then it finishes what it is doing and exits 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint up
  fixpoint up --data-dir ./state --listen 127.0.0.1:0
  fixpoint up --allow-file-sources ~/repos -f sources.yaml -f deliveries/")]
pub struct Args {
    /// Where to listen; only loopback addresses, port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6440", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where to serve the page, or `off`; only loopback addresses
    /// [default: the port after that of --listen]
    #[arg(long, value_name = "ADDRESS", hide_default_value = true, default_value = "beside")]
    web: PageAt,
    /// Folder whose repositories may be sources by file:// URLs; may be repeated
    #[arg(long, value_name = "DIR")]
    allow_file_sources: Vec<PathBuf>,
    /// Manifests to apply at start: a file, or a folder of them; may be repeated
    #[arg(short, long = "filename", value_name = "FILE-OR-DIR")]
    filename: Vec<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args, connection: Connection) -> Result<ExitCode> {
    log_to_stderr();
    crate::open_files::raise();
    ignore_file_size_signal()?;
    let mut manifests = Vec::new();
    for path in &args.filename {
        let found = read_manifests(path)?;
        if found.is_empty() {
            return Err(advice(
                format!("{} holds no manifests", path.display()),
                "name a file, or a folder of .yaml, .yml or .json files, with at least one object",
            ));
        }
        manifests.extend(found);
    }
    let mut running = engine::start(Settings {
        data_dir: connection.data_dir()?,
        listen: args.listen,
        allow_file_sources: args.allow_file_sources,
        page: args.web,
    })
    .await?;
    if let Err(err) = apply(&running.admin, "fixpoint-up", manifests).await {
        running.stop().await;
        return Err(err);
    }
    let page = running.page.as_ref().map(|page| format!(", page {page}")).unwrap_or_default();
    output::line(format!(
        "ready: https://{} in {}{page}, kubeconfig {}",
        running.address,
        output::took(running.ready_after),
        running.kubeconfig.display()
    ));
    let failed = until_stopped(&mut running).await?;
    running.stop().await;
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Resolves on a signal, or (true) when a part of the engine ends by itself.
pub async fn until_stopped(running: &mut Running) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // All arms are cancel-safe: signals are kept, and a task that ended stays ended.
    Ok(tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = running.failed() => true,
    })
}

/// Logs facts as fields to standard error: JSON unless a terminal reads along.
pub fn log_to_stderr() {
    log("warn,fixpoint=info,fixpoint_controllers=info");
}

/// As [`log_to_stderr`], but only what is wrong with the engine itself.
pub fn log_to_stderr_quietly() {
    log("error");
}

fn log(default: &str) {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_env("FIXPOINT_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process (tests) is no failure.
    let _installed = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().try_init()
    };
}

/// A file size limit must show as a failed write, which the store survives, not kill the process.
pub fn ignore_file_size_signal() -> Result<()> {
    // SIGXFSZ; tokio's handler takes the place of the deadly default and does nothing.
    let mut stream = signal(SignalKind::from_raw(25))?;
    tokio::spawn(async move { while stream.recv().await.is_some() {} });
    Ok(())
}

/// Reads the manifests of a file, or of the `.yaml`, `.yml` and `.json` files of a folder.
fn read_manifests(path: &Path) -> Result<Vec<Value>> {
    let files = if path.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .with_context(|| format!("could not read folder {}", path.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| {
                file.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
            })
            .collect();
        files.sort();
        files
    } else {
        vec![path.to_owned()]
    };
    let mut objects = Vec::new();
    for file in files {
        let bytes =
            std::fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
        let found = fixpoint_yaml::parse(&bytes, &Limits::default())
            .with_context(|| format!("{} is not valid YAML", file.display()))?;
        for object in found {
            if fixpoint_base::Key::of(&object).is_none() {
                return Err(advice(
                    format!("{} holds a document without apiVersion, kind or name", file.display()),
                    "every document must be a Kubernetes object",
                ));
            }
            objects.push(object);
        }
    }
    objects.sort_by_key(rank);
    Ok(objects)
}

/// What others need comes first; the rest keeps its order.
fn rank(object: &Value) -> u8 {
    match object["kind"].as_str() {
        Some("CustomResourceDefinition") => 0,
        Some("Namespace") => 1,
        _ => 2,
    }
}

/// Applies manifests as the administrator; the first failure ends it.
pub async fn apply(client: &kube::Client, manager: &str, manifests: Vec<Value>) -> Result<()> {
    for mut manifest in manifests {
        let Some(key) = fixpoint_base::Key::of(&manifest) else { continue };
        let gvk = GroupVersionKind::gvk(&key.gvk.group, &key.gvk.version, &key.gvk.kind);
        let found = kube::discovery::pinned_kind(client, &gvk).await;
        let (resource, capabilities) = found.map_err(|err| match err {
            kube::Error::Api(status) if status.code != 404 => plain(kube::Error::Api(status)),
            _ => advice(
                format!("{key} is of kind {}, which the engine does not know", gvk.kind),
                "check apiVersion and kind, or apply its CustomResourceDefinition first",
            ),
        })?;
        let api: kube::Api<DynamicObject> = if capabilities.scope == kube::discovery::Scope::Cluster
        {
            kube::Api::all_with(client.clone(), &resource)
        } else {
            let namespace = match object::namespace(&manifest) {
                "" => "default".to_owned(),
                namespace => namespace.to_owned(),
            };
            manifest["metadata"]["namespace"] = namespace.as_str().into();
            kube::Api::namespaced_with(client.clone(), &namespace, &resource)
        };
        api.patch(&key.name, &PatchParams::apply(manager).force(), &Patch::Apply(&manifest))
            .await
            .map_err(plain)
            .with_context(|| format!("could not apply {key}"))?;
    }
    Ok(())
}

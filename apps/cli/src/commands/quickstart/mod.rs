//! `fixpoint quickstart`: a commit becomes a converged system, live.

mod repository;
mod screen;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::repository::Repository;
use crate::client::Connection;
use crate::engine::{self, Running, Settings};
use crate::output::{self, Tone};
use crate::page::PageAt;
use crate::past;

/// The namespace that the example declares its source and deliveries in.
const NAMESPACE: &str = "fixpoint-system";

/// Make a Git repository, deliver it, and show how a commit becomes a converged system.
///
/// Stays up until Ctrl-C and prints what to try. With --once it plays the story itself (a commit,
/// a change by hand, a broken commit, a force-push, a removal) and exits 0 when every chapter
/// ended as it should.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fixpoint quickstart
  fixpoint quickstart --once
  fixpoint quickstart --dir ~/fixpoint-demo")]
pub struct Args {
    /// Play the story and exit
    #[arg(long)]
    once: bool,
    /// An empty or missing folder for the repository and the engine's state
    /// [default: a new one in the temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args, _connection: Connection) -> Result<ExitCode> {
    super::up::log_to_stderr_quietly();
    let keep = args.dir.is_some() || !args.once;
    let dir = folder(args.dir)?;
    let repository = Repository::create(&dir.join("repository"))?;
    let mut running = engine::start(Settings {
        data_dir: dir.join("state"),
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        allow_file_sources: vec![repository.path().to_owned()],
        page: PageAt::Beside,
    })
    .await?;
    introduce(&dir, &repository, &running);

    let screen = screen::follow(running.stages.listen());
    declare(&running, &repository).await?;
    let code = if args.once {
        let told = story::tell(&running, &repository, &dir).await;
        // The last stages are still on their way to the screen.
        tokio::time::sleep(Duration::from_millis(50)).await;
        screen.abort();
        match told {
            Ok(table) => {
                story::print(&table);
                ExitCode::SUCCESS
            }
            Err(err) => {
                running.stop().await;
                return Err(err.context(format!("the story broke off; see {}", dir.display())));
            }
        }
    } else {
        story::converged(&running, &repository.head()?).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        suggest(&dir, &repository, &running);
        super::up::until_stopped(&mut running).await?;
        screen.abort();
        ExitCode::SUCCESS
    };
    running.stop().await;
    if keep {
        output::line(format!("Stopped. What it made stays in {}.", dir.display()));
    } else if let Err(err) = std::fs::remove_dir_all(&dir) {
        tracing::warn!(error = %err, "the folder of the story stays");
    }
    Ok(code)
}

/// The folder to play in: the given one if it is empty, or a new one.
fn folder(given: Option<PathBuf>) -> Result<PathBuf> {
    let dir = match given {
        Some(dir) => {
            let occupied = std::fs::read_dir(&dir).is_ok_and(|mut found| found.next().is_some());
            if occupied {
                return Err(crate::report::advice(
                    format!("{} is not empty", dir.display()),
                    "name a folder that is empty or does not exist yet",
                ));
            }
            dir
        }
        None => {
            let seed =
                std::process::id() ^ jiff::Timestamp::now().subsec_nanosecond().unsigned_abs();
            std::env::temp_dir().join(format!("fixpoint-quickstart-{seed:08x}"))
        }
    };
    past::make_private(&dir)?;
    dir.canonicalize().with_context(|| format!("could not open {}", dir.display()))
}

/// Declares the source and the deliveries that the repository itself describes.
async fn declare(running: &Running, repository: &Repository) -> Result<()> {
    let mut manifests = Vec::new();
    for text in repository::CLUSTER {
        let text = text.replace("QUICKSTART_URL", &repository.url());
        manifests.extend(fixpoint_yaml::parse(text.as_bytes(), &fixpoint_base::Limits::default())?);
    }
    super::up::apply(&running.admin, "fixpoint-up", manifests).await
}

fn introduce(dir: &Path, repository: &Repository, running: &Running) {
    output::line(format!("repository  {}", repository.path().display()));
    output::line(format!(
        "engine      https://{} ready in {}",
        running.address,
        output::took(running.ready_after)
    ));
    output::line(format!("state       {}", dir.join("state").display()));
    output::line("");
}

fn suggest(dir: &Path, repository: &Repository, running: &Running) {
    let repo = repository.path().display();
    let program = std::env::current_exe().unwrap_or_else(|_| "fixpoint".into());
    let program = program.display();
    output::line("");
    output::line(output::paint(
        "The system is at its fixpoint. Try, in another terminal:",
        Tone::Good,
    ));
    output::line("");
    output::line(format!("  export KUBECONFIG={}", running.kubeconfig.display()));
    output::line(format!("  {program} get all -n {NAMESPACE}"));
    output::line(format!("  {program} web    # a link to the page, good once"));
    output::line(format!(
        "  sed -i 's/Hello from.*/Hello, world./' {repo}/{}",
        repository::GREETING_PATCH
    ));
    output::line(format!("  git -C {repo} commit -am 'Greet the world'"));
    output::line("  kubectl get greetings -n quickstart");
    output::line(
        "  kubectl patch greeting welcome -n quickstart --type merge \
         -p '{\"spec\":{\"text\":\"changed by hand\"}}'",
    );
    output::line(format!("  git -C {repo} reset --hard HEAD~1    # a rewritten branch is held"));
    output::line(format!("  {program} why source/quickstart -n {NAMESPACE}"));
    output::line(format!(
        "  {program} ack source/quickstart -n {NAMESPACE} --reason 'I meant that'"
    ));
    output::line(format!("  {program} ledger log"));
    output::line(format!("  {program} ledger verify --data-dir {}", dir.join("state").display()));
    output::line("");
    output::line("Stays up until Ctrl-C.");
}

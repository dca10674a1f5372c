//! The simulation: a whole installation in memory, driven by scripts with golden output.
//!
//! In: the text of a script. Out: the same text with what really happened. A scenario takes
//! milliseconds however many hours pass in it, needs nothing but this process, and tells the same
//! story each time. Every scenario ends with three questions: whether every fault was really met,
//! whether a second run finds anything to do (at a fixpoint it finds nothing), and whether what the
//! API server saw is what the ledger says.
//!
//! # The commands
//!
//! | command | what happens |
//! |---|---|
//! | `commit BRANCH EDIT…` | edits are `path=configmap/a,k=v`, `-path`, `path->target`, or a `path` whose text is in the margin (`\| …`) |
//! | `branch NAME AT`, `force-push NAME AT`, `tag NAME AT [annotated]` | a name leads to a commit, given by its letter or by a name |
//! | `delete branch NAME`, `delete tag NAME` | a name goes |
//! | `use REPOSITORY` | what follows is about another repository |
//! | `git outage N times [after M]`, `git slow 90s`, `git password P\|none`, `git shallow`, `git whole` | how the server answers |
//! | `source NAME OPTION…`, `deliver NAME OPTION…` | declares a source or a delivery |
//! | `settle [within 1s]`, `wait 10m` | time passes: until nothing is written any more, or so long |
//! | `drift OBJECT [by=MANAGER] KEY=VALUE…` | somebody changes an object: with `kubectl edit`, or as a controller |
//! | `create`, `delete`, `label`, `annotate`, `stick`, `unstick`, `status-ready` | what people and controllers do to objects |
//! | `suspend`, `resume`, `reconcile`, `ack` | what people do to sources and deliveries |
//! | `apiserver outage N times`, `apiserver freeze OBJECT`, `apiserver open` | the way to the API server |
//! | `cluster NAME`, `cluster NAME exchanged`, `cluster NAME outage N times`, `cluster NAME hangs`, `cluster NAME open` | a new cluster stands behind an address, with a Secret that leads there; how it answers |
//! | `home is a cluster` | the engine lives in a cluster from now on, and the Secret `home` leads there |
//! | `kubeconfig NAME` | a Secret of this name holds the text in the margin |
//! | `at NAME COMMAND…` | what is there, or what somebody does, in another cluster |
//! | `fault RULE`, `faults`, `heal` | requests to the API server go wrong, as `fixpoint_evil` says; what was really met; and no more of it |
//! | `clock +1h`, `clock -1h` | the clock is set, and no time passes |
//! | `restart`, `crash` | another engine on the same data, after a stop or a power cut |
//! | `status`, `conditions`, `objects`, `show`, `plan`, `why`, `ledger`, `ledger verify`, `events`, `writes` | what is there; the last three tell what is new |

mod cluster;
mod door;
mod git;
mod kinds;
mod player;
mod script;
mod show;
mod snapshot;
mod words;
mod world;

use anyhow::{Context as _, Result, ensure};

use player::Player;
use script::Script;

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// The script with what each command printed.
    pub text: String,
    /// What the engine wrote, to the API server and to the ledger: the same each time.
    pub trace: Vec<String>,
}

/// Plays a script in a world of its own.
///
/// # Errors
/// When the world cannot be opened, or a second run finds something to do.
pub fn play(text: &str) -> Result<Played> {
    // One thread for what blocks: answers come in the order of the questions.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let script = Script::parse(text);
        let mut player = Player::open().await?;
        let mut outputs = Vec::new();
        for command in script.commands() {
            outputs.push(player.play(command).await);
        }
        let told = script.with(&outputs);
        player.world.evil.all_played().with_context(|| told.clone())?;
        let changes = player.second_run().await?;
        ensure!(
            changes.is_empty(),
            "a second run found something to do:\n{}\n\nafter this:\n{told}",
            changes.join("\n")
        );
        let objections = player.objections()?;
        ensure!(
            objections.is_empty(),
            "ledger and audit log do not agree:\n{}\n\nafter this:\n{told}",
            objections.join("\n")
        );
        Ok(Played { text: told, trace: player.trace()? })
    })
}

//! The story that `quickstart --once` plays: each chapter does one thing to the real repository
//! or the real API and checks what the engine makes of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::NAMESPACE;
use super::repository::{GREETING_PATCH, Repository, SETTINGS};
use crate::commands::get::{condition, ready};
use crate::commands::kind::Kind;
use crate::engine::Running;
use crate::output::{self, Tone};

/// What happened in one chapter.
pub struct Chapter {
    what: &'static str,
    came: String,
    took: Duration,
    /// The time that the chapter should stay below, where there is one.
    aim: Option<Duration>,
}

/// How long a chapter may take before the story breaks off.
const PATIENCE: Duration = Duration::from_secs(30);

/// The aim for a commit to be live, and for a change by hand to be repaired.
const SECOND: Duration = Duration::from_secs(1);

/// Plays the story; gives the table of what happened.
pub async fn tell(running: &Running, repository: &Repository, dir: &Path) -> Result<Vec<Chapter>> {
    let scene = Scene { running, repository };
    let mut table = vec![Chapter {
        what: "the engine starts on an empty folder",
        came: format!("serves at {}", running.address),
        took: running.ready_after,
        aim: Some(Duration::from_millis(300)),
    }];
    table.push(scene.converge().await?);
    table.push(scene.commit().await?);
    table.push(scene.change_by_hand().await?);
    table.push(scene.broken_commit().await?);
    table.push(scene.mend().await?);
    table.push(scene.force_push().await?);
    table.push(scene.acknowledge().await?);
    table.push(scene.remove().await?);
    table.push(verify(dir).await?);
    Ok(table)
}

/// Waits until both deliveries have applied a commit.
pub async fn converged(running: &Running, commit: &str) -> Result<Duration> {
    let began = Instant::now();
    for name in ["infrastructure", "apps"] {
        running
            .wait_for(Kind::Kustomization, name, &format!("apply {commit}"), |delivery| {
                ready(delivery)["status"] == "True"
                    && ends_with(&delivery["status"]["lastAppliedRevision"], commit)
            })
            .await?;
    }
    Ok(began.elapsed())
}

fn ends_with(revision: &Value, commit: &str) -> bool {
    revision.as_str().is_some_and(|revision| revision.ends_with(commit))
}

/// Prints the table.
pub fn print(table: &[Chapter]) {
    let rows: Vec<Vec<String>> = table
        .iter()
        .map(|Chapter { what, came, took, aim }| {
            let aim = aim.map_or_else(String::new, |aim| {
                let missed = if took > &aim { " (missed)" } else { "" };
                format!("< {}{missed}", output::took(aim))
            });
            vec![(*what).to_owned(), came.clone(), output::took(*took), aim]
        })
        .collect();
    output::line("");
    output::table(&["what happened", "what came of it", "took", "aim"], &rows);
    output::line("");
    output::line("A commit and a change by hand are noticed by watching, not by polling.");
    if let Some(bytes) = resident_bytes() {
        output::line(format!("Resident memory: {:.0} MiB (aim: < 60 MiB).", bytes / 1_048_576.0));
    }
}

/// Resident memory of this process, where the system says.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}

struct Scene<'a> {
    running: &'a Running,
    repository: &'a Repository,
}

impl Scene<'_> {
    async fn converge(&self) -> Result<Chapter> {
        title("A repository is declared, and delivered");
        let took = converged(self.running, &self.repository.head()?).await?;
        let text = self.greeting().await?;
        Ok(chapter("a repository is declared", format!("converged: {text:?} is live"), took, None))
    }

    async fn commit(&self) -> Result<Chapter> {
        title("A commit converges");
        let commit = self.greet("Hello, world.", "Greet the world")?;
        let took = self.live_within("Hello, world.").await?;
        converged(self.running, &commit).await?;
        Ok(chapter("a commit", "live".to_owned(), took, Some(SECOND)))
    }

    async fn change_by_hand(&self) -> Result<Chapter> {
        title("Somebody changes an object by hand");
        let patch = json!({"spec": {"text": "changed by hand"}});
        let params =
            PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..Default::default() };
        self.greetings().patch("welcome", &params, &Patch::Merge(&patch)).await?;
        let took = self.live_within("Hello, world.").await?;
        Ok(chapter("a change by hand", "repaired".to_owned(), took, Some(SECOND)))
    }

    async fn broken_commit(&self) -> Result<Chapter> {
        title("A broken commit is refused; the last good state stays");
        let good = self.repository.read(GREETING_PATCH)?;
        self.repository.write(GREETING_PATCH, &good.replace("spec:", "spec: ["))?;
        let before = self.delivery("apps").await?["status"]["lastAppliedRevision"].clone();
        let commit = self.repository.commit("Break the greeting")?;
        let began = Instant::now();
        let delivery = self
            .running
            .wait_for(Kind::Kustomization, "apps", "refuse the broken commit", |delivery| {
                ready(delivery)["status"] == "False"
                    && ends_with(&delivery["status"]["lastAttemptedRevision"], &commit)
            })
            .await?;
        let took = began.elapsed();
        if delivery["status"]["lastAppliedRevision"] != before {
            bail!("the broken commit counts as applied");
        }
        if self.greeting().await? != "Hello, world." {
            bail!("the last good state is gone");
        }
        let message = ready(&delivery)["message"].as_str().unwrap_or_default().to_owned();
        output::line(format!("  {}", output::paint(&message, Tone::Bad)));
        self.repository.write(GREETING_PATCH, &good)?;
        Ok(chapter(
            "a broken commit",
            "refused; the last good state is live".to_owned(),
            took,
            None,
        ))
    }

    async fn mend(&self) -> Result<Chapter> {
        title("The fix converges");
        let commit = self.greet("Hello again.", "Mend the greeting")?;
        let took = self.live_within("Hello again.").await?;
        converged(self.running, &commit).await?;
        Ok(chapter("the fix", "live".to_owned(), took, None))
    }

    async fn force_push(&self) -> Result<Chapter> {
        title("A branch is rewritten; what it says now is held");
        self.set_greeting("Rewritten.")?;
        self.repository.amend("Rewrite history")?;
        let began = Instant::now();
        let source = self
            .running
            .wait_for(Kind::GitRepository, "quickstart", "hold the rewritten branch", |source| {
                condition(source, "GitSemantics")["status"] == "False"
            })
            .await?;
        let took = began.elapsed();
        let message = condition(&source, "GitSemantics")["message"].as_str().unwrap_or_default();
        output::line(format!("  {}", output::paint(message, Tone::Bad)));
        // The delivery has had its wake-up by now; give it the time to do wrong.
        tokio::time::sleep(Duration::from_millis(200)).await;
        if self.greeting().await? != "Hello again." {
            bail!("the rewritten branch was delivered");
        }
        let delivery = self.delivery("apps").await?;
        if ready(&delivery)["status"] != "True" {
            bail!("a held source made its delivery fail: {}", ready(&delivery)["message"]);
        }
        Ok(chapter(
            "a force-pushed branch",
            "held; the last good state is live".to_owned(),
            took,
            None,
        ))
    }

    async fn acknowledge(&self) -> Result<Chapter> {
        title("Somebody answers for it");
        let source = self.running.object(Kind::GitRepository, "quickstart").await?;
        let Some(id) = crate::commands::ack::held(&source, "GitSemantics", "False") else {
            bail!("the held source does not say what to acknowledge");
        };
        let patch = json!({"metadata": {"annotations": {
            "source.fixpoint.dev/acknowledge": id,
            "source.fixpoint.dev/acknowledge-reason": "it is only a story",
        }}});
        self.running
            .api(Kind::GitRepository)
            .patch("quickstart", &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        let took = self.live_within("Rewritten.").await?;
        converged(self.running, &self.repository.head()?).await?;
        Ok(chapter("an acknowledgement", "live, and on record".to_owned(), took, None))
    }

    async fn remove(&self) -> Result<Chapter> {
        title("A file is removed; its object is pruned");
        let list = "infrastructure/kustomization.yaml";
        let text = self.repository.read(list)?.replace("  - cluster-settings.yaml\n", "");
        self.repository.write(list, &text)?;
        self.repository.remove(SETTINGS)?;
        let commit = self.repository.commit("Remove the settings")?;
        let began = Instant::now();
        let settings: Api<DynamicObject> = Api::namespaced_with(
            self.running.admin.clone(),
            "quickstart",
            &ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
        );
        while settings.get_opt("cluster-settings").await?.is_some() {
            patience(began, "prune the removed object")?;
            pause().await;
        }
        let took = began.elapsed();
        converged(self.running, &commit).await?;
        Ok(chapter("a file removed from Git", "its object is pruned".to_owned(), took, None))
    }

    fn greet(&self, text: &str, message: &str) -> Result<String> {
        self.set_greeting(text)?;
        self.repository.commit(message)
    }

    fn set_greeting(&self, text: &str) -> Result<()> {
        let patch = self.repository.read(GREETING_PATCH)?;
        let lines: Vec<String> = patch
            .lines()
            .map(|line| match line.trim_start().starts_with("text:") {
                true => format!("  text: {text:?}"),
                false => line.to_owned(),
            })
            .collect();
        self.repository.write(GREETING_PATCH, &(lines.join("\n") + "\n"))
    }

    fn greetings(&self) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("quickstart.fixpoint.dev", "v1alpha1", "Greeting");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "greetings");
        Api::namespaced_with(self.running.admin.clone(), "quickstart", &resource)
    }

    async fn greeting(&self) -> Result<String> {
        let greeting = self.greetings().get("welcome").await?;
        Ok(greeting.data["spec"]["text"].as_str().unwrap_or_default().to_owned())
    }

    async fn delivery(&self, name: &str) -> Result<Value> {
        self.running.object(Kind::Kustomization, name).await
    }

    /// Waits until the greeting says so; measured from now.
    async fn live_within(&self, text: &str) -> Result<Duration> {
        let began = Instant::now();
        while self.greeting().await? != text {
            patience(began, &format!("make {text:?} live"))?;
            pause().await;
        }
        Ok(began.elapsed())
    }
}

async fn verify(dir: &Path) -> Result<Chapter> {
    title("The record is proved");
    let began = Instant::now();
    let dir = dir.join("state");
    let came = tokio::task::spawn_blocking(move || crate::commands::ledger::prove(&dir)).await??;
    Ok(chapter("the ledger is verified", came, began.elapsed(), None))
}

fn chapter(what: &'static str, came: String, took: Duration, aim: Option<Duration>) -> Chapter {
    Chapter { what, came, took, aim }
}

fn title(text: &str) {
    output::line(output::paint(text, Tone::Good));
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

fn patience(began: Instant, what: &str) -> Result<()> {
    if began.elapsed() > PATIENCE {
        bail!("the engine did not {what} within {} s", PATIENCE.as_secs());
    }
    Ok(())
}

impl Running {
    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.admin.clone(), NAMESPACE, &kind.resource())
    }

    async fn object(&self, kind: Kind, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.api(kind).get(name).await?)?)
    }

    async fn wait_for(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let began = Instant::now();
        loop {
            let object = self.object(kind, name).await?;
            if is(&object) {
                return Ok(object);
            }
            if began.elapsed() > PATIENCE {
                let message = ready(&object)["message"].as_str().unwrap_or("nothing").to_owned();
                bail!("{name} did not {what} within {} s; it says: {message}", PATIENCE.as_secs());
            }
            pause().await;
        }
    }
}

//! The page in a real browser: what a person sees, live, and what the browser says of it.
//!
//! One engine and one browser for the whole suite; each step builds on the one before.

mod driver;
mod scene;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use self::driver::Browser;
use self::scene::Scene;
use super::process::Scratch;
use super::{Report, Scope, program};
use crate::print;

/// Where the pictures for the documentation are, below the root.
const OVERVIEW: &str = "docs/page.png";
const DELIVERY: &str = "docs/page-delivery.png";
/// Bytes of a picture in the repository.
const LARGEST: usize = 200_000;
/// A picture of an empty page is smaller.
const SMALLEST: usize = 20_000;

/// The code of the tabulator key in the WebDriver standard.
const TAB: char = '\u{e004}';

/// Plays the story of the page.
pub fn run(root: &Path, scope: Scope, report: &mut Report) -> Result<()> {
    let Some(driver) = driver::find() else {
        report.skip("web", "chromium and chromedriver are not on the search path");
        return Ok(());
    };
    let (fixpoint, _target) = program::build(root)?;
    // The pictures show where the repositories are: somewhere that every machine has.
    let scratch = Scratch::new(&std::env::temp_dir(), "web")?;
    let scene = Scene::start(&fixpoint, scratch.path())?;
    let browser = Browser::start(&driver, scratch.path())?;
    let failed = report.failed;
    let story = Story { scene: &scene, browser: &browser };
    story.tell(root, scope, report);
    if report.failed > failed {
        print::note(&format!("the engine said:\n{}", scene.log()));
    }
    Ok(())
}

struct Story<'a> {
    scene: &'a Scene,
    browser: &'a Browser,
}

impl Story<'_> {
    fn tell(&self, root: &Path, scope: Scope, report: &mut Report) {
        let base = match self.signs_in() {
            Ok(base) => base,
            Err(err) => return report.fail("a link signs in", &format!("{err:#}")),
        };
        report.pass("a link signs in");
        report.take("a commit shows by itself", self.follows_a_commit(&base));
        report.take("a broken commit shows its error", self.shows_an_error(&base));
        report.take("a rewritten branch shows as held", self.shows_a_hold(&base));
        if scope == Scope::Whole {
            report.take("what is open and focused stays", self.keeps_the_reader_s_place(&base));
            report.take("the keyboard reaches everything", self.goes_by_keyboard(&base));
            report.take("a file's name stays text", self.shows_markup_as_text(&base));
            report.take("pictures for the documentation", self.takes_pictures(&base, root));
        }
        report.take("the browser has nothing to complain about", self.is_quiet(&base));
        if scope == Scope::Whole {
            report.take("the policy is enforced", self.is_guarded(&base));
        }
        report.take("signing out ends it", self.signs_out(&base));
    }

    /// Follows a link that the program printed; gives where the page is.
    fn signs_in(&self) -> Result<String> {
        let link = self.scene.run(&["web"])?;
        let (base, _token) = link.split_once("/sign-in/").context("it printed no link")?;
        self.browser.open(&link)?;
        self.browser.sees(&["Everything is at its fixpoint", "6 deliveries: 6 ready", "Live"])?;
        let address = self.browser.run("return location.pathname")?;
        ensure!(address == "/", "it leads to {address}");
        // Somebody else with the same link gets nothing.
        self.browser.open(&link)?;
        self.browser.sees(&["This link was used before"])?;
        self.browser.open(base)?;
        self.browser.sees(&["Everything is at its fixpoint"])?;
        Ok(base.to_owned())
    }

    /// Marks the page, so that a reload would show.
    fn mark(&self) -> Result<()> {
        self.browser.waits(
            "a live page",
            "return document.getElementById('live').textContent === 'Live'",
        )?;
        self.browser.run("window.mark = true").map(drop)
    }

    fn is_marked(&self) -> Result<()> {
        ensure!(self.browser.run("return window.mark === true")? == true, "the page was reloaded");
        Ok(())
    }

    fn follows_a_commit(&self, base: &str) -> Result<()> {
        self.browser.open(&format!("{base}/deliveries/default/shop"))?;
        self.mark()?;
        let commit = self.scene.change("shop", "two")?;
        self.browser.sees(&[&commit, "verdict forward", "healthy", "shop-settings"])?;
        self.is_marked()
    }

    fn shows_an_error(&self, base: &str) -> Result<()> {
        self.browser.open(&format!("{base}/deliveries/default/payments"))?;
        self.mark()?;
        self.scene.write("payments", "broken.yaml", "kind: [unfinished\n")?;
        self.browser.sees(&["refused", "deploy/broken.yaml:1", "Failed", "payments-settings"])?;
        self.is_marked()
    }

    fn shows_a_hold(&self, base: &str) -> Result<()> {
        self.browser.open(&format!("{base}/sources/default/platform"))?;
        self.mark()?;
        let commit = self.scene.rewrite("platform")?;
        let ack = "fixpoint ack source/platform --reason";
        self.browser.sees(&["Held until somebody answers", ack, "fork, held", &commit])?;
        self.is_marked()?;
        self.scene.rewrite("flags")?;
        self.browser.open(&format!("{base}/sources/default/flags"))?;
        self.browser.sees(&["Held until somebody answers"])?;
        self.mark()?;
        self.scene.run(&["ack", "source/flags", "--reason", "<b>meant</b>"])?;
        self.browser.sees(&["fork, delivered", "<b>meant</b>", "fixpoint-admin"])?;
        self.is_marked()
    }

    fn keeps_the_reader_s_place(&self, base: &str) -> Result<()> {
        // Long enough that the message has to be opened.
        let long = format!("{0}/{0}/{0}/{0}/long.yaml", "a".repeat(100));
        self.scene.write("docs", &long, "kind: [unfinished\n")?;
        self.browser.open(&format!("{base}/deliveries/default/docs"))?;
        self.browser.waits("a message", "return !!document.querySelector('#belt details')")?;
        self.mark()?;
        self.browser.run(
            "const one = document.querySelector('#belt details'); one.open = true; \
             one.querySelector('summary').focus();",
        )?;
        self.scene.write("docs", "more.yaml", "kind: [also\n")?;
        self.browser.sees(&["(and 1 more)"])?;
        self.is_marked()?;
        let open = "const one = document.querySelector('#belt details'); \
                    return one.open && document.activeElement === one.querySelector('summary')";
        ensure!(self.browser.run(open)? == true, "what was open or focused is not any more");
        self.scene.remove("docs", &[&long, "more.yaml"])?;
        self.browser.sees(&["Ready", "healthy"])
    }

    fn goes_by_keyboard(&self, base: &str) -> Result<()> {
        self.browser.open(base)?;
        self.browser.sees(&["Live"])?;
        let mut reached = vec![];
        for _ in 0..40 {
            self.browser.press(TAB)?;
            let at = self.browser.run(
                "const at = document.activeElement; \
                 return at.getAttribute('href') || at.name || at.textContent.trim().slice(0, 20)",
            )?;
            reached.push(at.as_str().unwrap_or_default().to_owned());
        }
        for wanted in ["#main", "/", "/ledger", "Sign out", "q", "/deliveries/default/payments"] {
            ensure!(reached.iter().any(|at| at == wanted), "{wanted} is not among {reached:?}");
        }
        ensure!(reached.first().is_some_and(|at| at == "#main"), "the way to the content is first");
        let unnamed = "return [...document.querySelectorAll('a, button, input')]\
            .filter((one) => !one.textContent.trim() && !one.labels?.length).length";
        ensure!(self.browser.run(unnamed)? == 0, "something has no name");
        Ok(())
    }

    fn shows_markup_as_text(&self, base: &str) -> Result<()> {
        let name = "<img src=x onerror=window.pwned=1>.yaml";
        self.browser.open(&format!("{base}/deliveries/default/docs"))?;
        self.mark()?;
        self.scene.write("docs", name, "kind: [unfinished\n")?;
        self.browser.sees(&["<img src=x onerror=window.pwned=1>"])?;
        let taken = self.browser.run("return window.pwned === undefined")?;
        ensure!(taken == true, "a file's name was run");
        self.scene.remove("docs", &[name])?;
        self.browser.sees(&["Ready", "healthy"])
    }

    /// Takes the pictures anew where goldens are updated; checks that they can be taken otherwise.
    fn takes_pictures(&self, base: &str, root: &Path) -> Result<()> {
        let update = std::env::var_os("UPDATE_EXPECT").is_some();
        let pictures = [("/", OVERVIEW, 1250), ("/deliveries/default/platform", DELIVERY, 1150)];
        for (path, file, height) in pictures {
            self.browser.open(&format!("{base}{path}"))?;
            self.browser.sees(&["Live"])?;
            let picture = self.browser.picture(height)?;
            let size = picture.len();
            ensure!(size > SMALLEST && size < LARGEST, "the picture of {path} has {size} bytes");
            let kept = root.join(file);
            if update {
                std::fs::write(&kept, picture).with_context(|| format!("cannot write {file}"))?;
            }
            ensure!(kept.is_file(), "{file} is missing: run the suite with UPDATE_EXPECT=1");
        }
        Ok(())
    }

    /// Nothing in the console, and nobody was asked but the page and the browser itself.
    fn is_quiet(&self, base: &str) -> Result<()> {
        // The answer to a link that was used before is an error to the browser, and to us.
        let expected = |line: &String| line.contains("/sign-in") && line.contains("401");
        let said: Vec<String> =
            self.browser.console()?.into_iter().filter(|line| !expected(line)).collect();
        ensure!(said.is_empty(), "the console says:\n{}", said.join("\n"));
        let asked = self.browser.requests()?;
        ensure!(asked.iter().any(|url| url.contains("/live?at=")), "no request was seen");
        let own = ["data:", "chrome:", "about:", "devtools:"];
        let stranger = asked
            .iter()
            .find(|url| !url.starts_with(base) && !own.iter().any(|own| url.starts_with(own)));
        match stranger {
            Some(url) => bail!("{url} was asked"),
            None => Ok(()),
        }
    }

    /// What somebody might smuggle in is refused by the browser.
    fn is_guarded(&self, base: &str) -> Result<()> {
        self.browser.open(base)?;
        self.browser.run(
            "window.refused = []; document.addEventListener('securitypolicyviolation', \
             (event) => window.refused.push(event.effectiveDirective)); \
             const script = document.createElement('script'); \
             try { script.text = 'window.smuggled = 1'; document.head.append(script); } catch {} \
             const image = new Image(); image.src = 'http://localhost:1/x.png'; \
             document.body.append(image); \
             try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); } catch {} \
             const style = document.createElement('style'); style.textContent = 'b { color: red }'; \
             document.head.append(style);",
        )?;
        self.browser.waits(
            "the browser to refuse",
            "return ['img-src', 'style-src-elem', 'require-trusted-types-for']\
             .every((one) => window.refused.includes(one))",
        )?;
        let smuggled = self.browser.run("return window.smuggled === undefined")?;
        ensure!(smuggled == true, "a script was smuggled in");
        // These complaints were wanted.
        self.browser.console().map(drop)
    }

    fn signs_out(&self, base: &str) -> Result<()> {
        self.browser.open(base)?;
        self.browser.sees(&["Live"])?;
        self.browser.run("document.querySelector('.top form button').click()")?;
        self.browser.sees(&["You are signed out", "fixpoint web"])?;
        self.browser.open(base)?;
        self.browser.sees(&["get a link on the machine"])?;
        let text = self.browser.text()?;
        ensure!(!text.contains("payments"), "a stranger sees:\n{text}");
        Ok(())
    }
}

//! Histories as text: what the store says step by step, what comes of it.

use expect_test::{Expect, expect};

use super::*;

/// Runs a history under `enforce`. Each line is a reference, an arrow and what it resolves to
/// (`gone`, a commit, `NAME=COMMIT` for ranges, `COMMIT/OBJECT` for annotated tags,
/// `COMMIT:TREE` or `COMMIT:TREE+SELECTION` for content), then the ancestry if it matters; `ack` acknowledges the last hold.
fn check(script: &str, expected: Expect) {
    let mut known = Known::default();
    let mut acknowledged = BTreeSet::new();
    let mut last = String::new();
    let mut out = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "ack" {
            acknowledged.insert(last.clone());
            continue;
        }
        let (reference, answer) = line.split_once(" -> ").unwrap();
        let reference = parse_reference(reference);
        let (target, ancestry) = answer.split_once(' ').unwrap_or((answer, "unknown"));
        let ancestry = parse_ancestry(ancestry);
        let pointer = parse_pointer(&reference, target);
        let read = target.split_once(':').map(|(_, content)| read(content));
        let seen = if target == "gone" { Seen::Gone } else { Seen::At(&pointer, read) };
        let finding = known.judge(&reference, &seen, ancestry);
        let text =
            match decide("GitRepository/a/b", &finding, None, History::Enforce, &acknowledged) {
                Delivery::Deliver { .. } => {
                    known.accept(&reference, &pointer, read);
                    String::new()
                }
                Delivery::Hold { violation } => {
                    if target == "gone" {
                        known.mark_gone(&reference);
                    }
                    last = violation.id.clone();
                    format!(": {}", violation.held())
                }
            };
        out.push_str(&format!("{}{text}\n", finding.verdict));
    }
    expected.assert_eq(&out);
}

fn read(content: &str) -> Read {
    let (tree, selection) = match content.split_once('+') {
        Some((tree, selection)) => (tree, Some(Digest::of(selection.as_bytes()))),
        None => (content, None),
    };
    Read { tree: Digest::of(tree.as_bytes()), selection }
}

fn parse_reference(text: &str) -> Reference {
    let (kind, name) = text.split_once(' ').unwrap();
    let name = name.to_owned();
    match kind {
        "branch" => Reference::Branch(name),
        "tag" => Reference::Tag(name),
        "semver" => Reference::Semver(name),
        "ref" => Reference::Name(name),
        _ => Reference::Commit { id: name, branch: None },
    }
}

fn parse_ancestry(text: &str) -> Ancestry {
    match text {
        "forward" => Ancestry::Forward,
        "backward" => Ancestry::Backward,
        "diverged" => Ancestry::Diverged,
        _ => Ancestry::Unknown,
    }
}

fn parse_pointer(reference: &Reference, target: &str) -> Pointer {
    let target = target.split_once(':').map_or(target, |(target, _)| target);
    let (name, id) = match target.split_once('=') {
        Some((name, id)) => (name.to_owned(), id),
        None => (name_of(reference).split_once(' ').unwrap().1.to_owned(), target),
    };
    let (commit, object) = id.split_once('/').map_or((id, None), |(c, o)| (c, Some(o)));
    let class = match reference {
        Reference::Branch(_) | Reference::Name(_) => NameClass::Branch,
        Reference::Tag(_) => NameClass::Tag,
        Reference::Semver(_) => NameClass::Semver,
        Reference::Commit { .. } => NameClass::Commit,
    };
    Pointer {
        full: name.clone(),
        name,
        class,
        commit: commit.to_owned(),
        tag_object: object.map(str::to_owned),
    }
}

#[test]
fn branches_move_forward_only() {
    check(
        "
        branch main -> 3f2a91c00
        branch main -> 3f2a91c00
        branch main -> 5555555ff forward
        branch main -> 3f2a91c00 backward
        branch main -> 77c0ffe00 diverged
        branch main -> 77c0ffe11 unknown
        branch main -> 5555555ff
        branch main -> 66666660f forward
        ",
        expect![[r#"
            first
            same
            forward
            rollback: branch main went back: 3f2a91c is an ancestor of 5555555; the last good version stays
            fork: branch main was rewritten: 5555555 is no longer an ancestor of 77c0ffe; the last good version stays
            unknown: branch main went from 5555555 to 77c0ffe, and it could not be told whether the one descends from the other; the last good version stays
            same
            forward
        "#]],
    );
}

#[test]
fn an_acknowledged_rewrite_becomes_the_history() {
    check(
        "
        branch main -> aaaaaaa
        branch main -> bbbbbbb diverged
        ack
        branch main -> bbbbbbb diverged
        branch main -> bbbbbbb
        branch main -> aaaaaaa diverged
        ",
        expect![[r#"
            first
            fork: branch main was rewritten: aaaaaaa is no longer an ancestor of bbbbbbb; the last good version stays
            fork
            same
            fork: branch main was rewritten: bbbbbbb is no longer an ancestor of aaaaaaa; the last good version stays
        "#]],
    );
}

#[test]
fn an_acknowledgement_covers_one_move_only() {
    check(
        "
        tag v1 -> aaaaaaa
        tag v1 -> bbbbbbb
        ack
        tag v1 -> ccccccc
        ",
        expect![[r#"
            first
            moved: tag v1 was moved from aaaaaaa to bbbbbbb; the last good version stays
            moved: tag v1 was moved from aaaaaaa to ccccccc; the last good version stays
        "#]],
    );
}

#[test]
fn tags_never_move() {
    check(
        "
        tag v1 -> aaaaaaa/1111111
        tag v1 -> aaaaaaa/1111111
        tag v1 -> aaaaaaa/2222222
        tag v1 -> aaaaaaa
        tag v1 -> gone
        tag v1 -> bbbbbbb
        tag v1 -> aaaaaaa/1111111
        ",
        expect![[r#"
            first
            same
            moved: tag v1 was made anew: its tag object is another one for the same aaaaaaa; the last good version stays
            moved: tag v1 was made anew: its tag object is another one for the same aaaaaaa; the last good version stays
            vanished: tag v1 is gone: it was at aaaaaaa; the last good version stays
            reappeared: tag v1 was deleted and came back at bbbbbbb instead of aaaaaaa; the last good version stays
            same
        "#]],
    );
}

#[test]
fn ranges_rise_and_fall_only_when_a_tag_is_taken_away() {
    check(
        "
        semver 6.x -> 6.3.4=aaaaaaa
        semver 6.x -> v6.3.10=bbbbbbb
        semver 6.x -> 6.3.4=aaaaaaa
        semver 6.x -> v6.3.10=ccccccc
        semver 6.x -> 6.4=ddddddd
        ",
        expect![[r#"
            first
            forward
            rollback: the highest tag within 6.x went back from v6.3.10 to 6.3.4; the last good version stays
            moved: tag v6.3.10 was moved from bbbbbbb to ccccccc; the last good version stays
            forward
        "#]],
    );
}

#[test]
fn a_tag_seen_through_one_reference_is_known_to_another() {
    check(
        "
        tag 1.2.0 -> aaaaaaa
        semver 1.x -> 1.1.0=9999999
        semver 1.x -> 1.2.0=bbbbbbb
        semver 1.x -> 1.2.0=aaaaaaa
        semver >=1 -> 1.1.0=0000000
        ",
        expect![[r#"
            first
            first
            moved: tag 1.2.0 was moved from aaaaaaa to bbbbbbb; the last good version stays
            forward
            moved: tag 1.1.0 was moved from 9999999 to 0000000; the last good version stays
        "#]],
    );
}

#[test]
fn another_branch_has_a_history_of_its_own() {
    check(
        "
        branch main -> aaaaaaa
        branch next -> bbbbbbb diverged
        branch main -> ccccccc diverged
        ref refs/heads/main -> aaaaaaa
        ",
        expect![[r#"
            first
            first
            fork: branch main was rewritten: aaaaaaa is no longer an ancestor of ccccccc; the last good version stays
            same
        "#]],
    );
}

#[test]
fn a_branch_that_comes_back_is_judged_by_where_it_is() {
    check(
        "
        branch main -> aaaaaaa
        branch main -> gone
        branch main -> bbbbbbb diverged
        branch main -> ccccccc forward
        ",
        expect![[r#"
            first
            vanished: branch main is gone: it was at aaaaaaa; the last good version stays
            reappeared: branch main was deleted and came back at bbbbbbb instead of aaaaaaa; the last good version stays
            forward
        "#]],
    );
}

#[test]
fn one_commit_has_one_content() {
    check(
        "
        commit aaaaaaa -> aaaaaaa:one
        commit aaaaaaa -> aaaaaaa:one
        commit aaaaaaa -> aaaaaaa
        commit aaaaaaa -> aaaaaaa:less+folder
        commit aaaaaaa -> aaaaaaa:less+folder
        commit aaaaaaa -> aaaaaaa:more+folder
        commit aaaaaaa -> aaaaaaa:one
        commit aaaaaaa -> aaaaaaa:two
        ",
        expect![[r#"
            first
            same
            same
            same
            same
            moved: commit aaaaaaa has other content than before under the same aaaaaaa; the last good version stays
            same
            moved: commit aaaaaaa has other content than before under the same aaaaaaa; the last good version stays
        "#]],
    );
}

#[test]
fn policies_differ_in_what_they_do_not_in_what_they_see() {
    let mut known = Known::default();
    let tag = Reference::Tag("v1".to_owned());
    let (old, new) = (parse_pointer(&tag, "aaaaaaa"), parse_pointer(&tag, "bbbbbbb"));
    known.accept(&tag, &old, None);
    let moved = known.judge(&tag, &Seen::At(&new, None), Ancestry::Unknown);
    let gone = known.judge(&tag, &Seen::Gone, Ancestry::Unknown);
    let with =
        |finding: &Finding, history| match decide("s", finding, None, history, &BTreeSet::new()) {
            Delivery::Deliver { warning: None } => "deliver",
            Delivery::Deliver { warning: Some(_) } => "warn",
            Delivery::Hold { .. } => "hold",
        };
    let all = [History::Enforce, History::Warn, History::Mutable];
    assert_eq!(all.map(|history| with(&moved, history)), ["hold", "warn", "deliver"]);
    assert_eq!(all.map(|history| with(&gone, history)), ["hold"; 3]);
}

#[test]
fn only_branches_ask_about_ancestry() {
    let mut known = Known::default();
    let main = Reference::Branch("main".to_owned());
    known.accept(&main, &parse_pointer(&main, "aaaaaaa"), None);
    let position = known.position(&main);
    assert_eq!(asks_about(position, &parse_pointer(&main, "aaaaaaa")), None);
    assert_eq!(asks_about(position, &parse_pointer(&main, "bbbbbbb")), Some("aaaaaaa"));
    let tag = Reference::Tag("v1".to_owned());
    assert_eq!(asks_about(position, &parse_pointer(&tag, "bbbbbbb")), None);
}

#[test]
fn policies_are_read() {
    assert_eq!("enforce".parse(), Ok(History::Enforce));
    let err = "strict".parse::<History>().unwrap_err();
    assert_eq!(err.to_string(), "history policy \"strict\" does not exist");
}

#[test]
fn what_is_known_survives_as_json() {
    let mut known = Known::default();
    let tag = Reference::Tag("v1".to_owned());
    known.accept(&tag, &parse_pointer(&tag, "aaaaaaa/1111111"), Some(read("x")));
    let text = serde_json::to_string(&known).unwrap();
    assert_eq!(serde_json::from_str::<Known>(&text).unwrap(), known);
}

#[test]
fn the_same_move_made_again_is_another_violation() {
    let position = |commit: &str| Position {
        name: "main".to_owned(),
        commit: commit.to_owned(),
        tag_object: None,
        tree: None,
        selection: None,
        gone: false,
    };
    let finding = Finding {
        name: "branch main".to_owned(),
        verdict: Verdict::Rollback,
        old: Some(position("b")),
        new: Some(position("a")),
    };
    let id = |since| Violation::of("s", &finding, since).unwrap().id;
    assert_eq!(id(Some(3)), id(Some(3)));
    assert_ne!(id(Some(3)), id(Some(7)));
}

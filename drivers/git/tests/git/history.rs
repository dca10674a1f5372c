//! How versions relate, from whole and from shallow histories.

use crate::common::*;
use fixpoint_source::Ancestry::{self, Backward, Diverged, Forward, Same, Unknown};
use fixpoint_source::Selection;

/// Asks from a fresh mirror, and again from one that has delivered the old version already.
fn check(world: &mut World, old: &str, new: &str, expected: Ancestry) {
    let mirrors = world.mirrors();
    let _none_yet = std::fs::remove_dir_all(&mirrors);
    world.restart();
    assert_eq!(world.ancestry(old, new), expected, "{:?}, fresh", world.via);
    assert_eq!(world.ancestry(old, new), expected, "{:?}, asked again", world.via);
    std::fs::remove_dir_all(&mirrors).ok();
    world.restart();
    for id in [old, new] {
        let pointer = world.pointer(&commit(id)).unwrap();
        world.store().content(&pointer, &Selection::default()).unwrap();
    }
    assert_eq!(world.ancestry(old, new), expected, "{:?}, after fetching", world.via);
}

#[test]
fn branches_move() {
    for via in ALL {
        let mut world = World::new(via);
        let base = world.repo.commit(&[("a", "1")]);
        let one = world.repo.commit(&[("a", "2")]);
        let many = world.repo.commits(20);
        check(&mut world, &base, &base, Same);
        check(&mut world, &base, &one, Forward);
        check(&mut world, &base, &many, Forward);
        check(&mut world, &many, &base, Backward);
        check(&mut world, &one, &base, Backward);

        world.repo.reset(&base);
        let rewritten = world.repo.commit(&[("a", "other")]);
        check(&mut world, &one, &rewritten, Diverged);
        check(&mut world, &many, &rewritten, Diverged);

        world.repo.git(&["checkout", "--quiet", "--orphan", "fresh"]);
        let unrelated = world.repo.commit(&[("z", "1")]);
        check(&mut world, &one, &unrelated, Diverged);
        check(&mut world, &unrelated, &many, Diverged);
    }
}

#[test]
fn merges_are_ways_forward() {
    for via in ALL {
        let mut world = World::new(via);
        let base = world.repo.commit(&[("a", "1")]);
        world.repo.branch("dev");
        let dev = world.repo.commit(&[("b", "1")]);
        world.repo.checkout("main");
        let main = world.repo.commit(&[("c", "1")]);
        let merged = world.repo.merge("dev");
        for old in [&base, &dev, &main] {
            check(&mut world, old, &merged, Forward);
        }
        check(&mut world, &dev, &main, Diverged);
    }
}

#[test]
fn long_ways_are_walked() {
    for via in [Via::Http, Via::HttpFilter, Via::HttpOld] {
        let mut world = World::new(via);
        let base = world.repo.commit(&[("a", "1")]);
        let far = world.repo.commits(120);
        check(&mut world, &base, &far, Forward);
        check(&mut world, &far, &base, Backward);
        world.repo.reset(&base);
        let fork = world.repo.commits(70);
        check(&mut world, &far, &fork, Diverged);
    }
}

#[test]
fn what_the_server_forgot_is_told_when_it_can_be() {
    for via in [Via::Http, Via::HttpFilter, Via::HttpOld] {
        let mut world = World::new(via);
        let base = world.repo.commit(&[("a", "1")]);
        let kept = world.repo.commit(&[("a", "2")]);
        let lost = world.repo.commit(&[("a", "3")]);
        assert_eq!(world.files(), "a=3");
        world.repo.reset(&kept);
        world.repo.forget_unreachable();
        // Its parents are known here, so the way back to them is.
        assert_eq!(world.ancestry(&lost, &kept), Backward, "{via:?}");
        let amended = world.repo.commit(&[("a", "4")]);
        assert_eq!(world.ancestry(&lost, &amended), Diverged, "{via:?}");
        assert_eq!(world.ancestry(&base, &amended), Forward, "{via:?}");
        // Nobody knows it any more: no claim.
        std::fs::remove_dir_all(world.mirrors()).unwrap();
        world.restart();
        assert_eq!(world.ancestry(&lost, &amended), Unknown, "{via:?}");
        assert_eq!(world.ancestry(&"1".repeat(40), &amended), Unknown, "{via:?}");
    }
}

#[test]
fn histories_grow_step_by_step() {
    for via in ALL {
        let world = World::new(via);
        let mut old = world.repo.commit(&[("a", "0")]);
        for round in 1..8 {
            world.repo.commits(round);
            let new = world.repo.commit(&[("a", &round.to_string())]);
            assert_eq!(world.files(), format!("a={round}"));
            assert_eq!(world.ancestry(&old, &new), Forward, "{via:?}");
            assert_eq!(world.ancestry(&new, &old), Backward, "{via:?}");
            assert_eq!(world.files(), format!("a={round}"));
            old = new;
        }
    }
}

#[test]
fn tags_move() {
    let world = World::new(Via::HttpFilter);
    let one = world.repo.commit(&[("a", "1")]);
    world.repo.annotated_tag("v1.0.0");
    let before = world.pointer(&tag("v1.0.0")).unwrap();
    let two = world.repo.commit(&[("a", "2")]);
    world.repo.annotated_tag("v1.0.0");
    let after = world.pointer(&tag("v1.0.0")).unwrap();
    assert_eq!((before.commit.as_str(), after.commit.as_str()), (one.as_str(), two.as_str()));
    assert_ne!(before.tag_object, after.tag_object);
    assert_eq!(world.store().ancestry(&before.commit, &after).unwrap(), Forward);
}

#[test]
fn a_filtered_history_costs_little() {
    let world = World::new(Via::HttpFilter);
    let base = world.repo.commit(&[("a", "1")]);
    for n in 0..5 {
        let noise: Vec<u8> = (0..50_000u64)
            .map(|i| ((i + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53) as u8)
            .collect();
        world.repo.write_bytes("noise", &noise);
        world.repo.commit(&[]);
    }
    let tip = world.repo.head();
    assert_eq!(world.ancestry(&base, &tip), Forward);
    let packs: u64 = walk(&world.mirrors())
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "pack"))
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(packs < 5_000, "{packs} bytes for six commits");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries
        .into_iter()
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

//! Every script below `scenarios/` as a test of its own.
//!
//! `UPDATE_EXPECT=1` writes what really happened into the scripts; review it like code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect_file;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).expect("the script is there");
    let played = fixpoint_sim::play(&text).expect("a second run finds nothing to do");
    expect_file![path].assert_eq(&played.text);
}

macro_rules! scenarios {
    ($($(#[$attribute:meta])* $name:ident,)*) => {
        const NAMES: &[&str] = &[$(stringify!($name),)*];
        $(
            #[test]
            $(#[$attribute])*
            fn $name() {
                check(stringify!($name));
            }
        )*
    };
}

scenarios! {
    acknowledged_once,
    apiserver_outage,
    bad_declarations,
    bad_tree,
    branch_deleted,
    broken_yaml,
    common_base,
    controls,
    crash_half_way,
    crash_while_pruning,
    definition_and_resource,
    deleted_object,
    deletion_policies,
    delivery_deleted,
    dependency_cycle,
    dependency_not_ready,
    dependency_removed,
    depends_on,
    drift,
    empty_folder,
    fault_busy_server,
    fault_clock,
    fault_crash_at_prune,
    fault_lost_answer,
    fault_partial_apply,
    fault_partition,
    fault_refusals,
    fault_retry_load,
    fault_stale_list,
    fault_watches,
    fetch_outage,
    first_delivery,
    force_push,
    force_push_undone,
    health_checks,
    health_timeout,
    health_wait,
    history_policies,
    immutable,
    invalid_object,
    jitter,
    many_deletions,
    missing_namespace,
    missing_path,
    moving_an_object,
    moving_to_a_dependency,
    name_collision,
    named_ref,
    new_commit,
    no_repository,
    own_objects_taken_over,
    outage_half_way,
    password,
    prune_off,
    pruning,
    quiet_interval,
    recreated_by_hand,
    remote_cluster,
    remote_exchanged,
    remote_hangs,
    remote_home,
    remote_kubeconfig,
    remote_moved,
    remote_moving,
    remote_replaced,
    remote_restart,
    remote_shared,
    requests,
    restart,
    restart_while_down,
    rollback,
    secret_content,
    semver,
    slow_server,
    source_deleted,
    spec_change_prunes,
    suspend_and_resume,
    switching_branches,
    switching_sources,
    tag_moved,
    target_namespace,
    terminating,
    unknown_ancestry,
    unknown_kind,
    unsupported_field,
    vanished_twice,
}

#[test]
fn every_script_is_played() {
    let files = std::fs::read_dir(folder()).unwrap();
    let found: BTreeSet<String> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let played: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, played);
}

/// Nothing that is written depends on the machine, the order of threads or a random number.
#[test]
fn a_script_tells_the_same_story_twice() {
    for name in ["depends_on", "force_push", "crash_half_way"] {
        let text = std::fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
        let play = || fixpoint_sim::play(&text).unwrap();
        assert_eq!(play(), play(), "{name}");
    }
}

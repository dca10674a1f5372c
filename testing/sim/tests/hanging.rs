//! Many deliveries to a cluster that does not answer hold up nobody who delivers elsewhere.

use std::fmt::Write as _;

/// More than the engine runs at once.
const MANY: usize = 100;

#[test]
fn a_cluster_that_hangs_occupies_few_runs() {
    let mut script = "> cluster slow\n> cluster prod\n> cluster slow hangs\n\
        > commit main app/a.yaml=configmap/a,v=1\n> source web branch=main\n"
        .to_owned();
    for number in 0..MANY {
        let name = format!("slow-{number}");
        writeln!(script, "> deliver {name} source=web path=./app cluster=slow interval=1m")
            .unwrap();
    }
    script.push_str(
        "> wait 1s\n> deliver prod source=web path=./app cluster=prod\n> wait 20s\n\
         > at prod objects\n",
    );
    for number in 0..MANY {
        writeln!(script, "> delete delivery/slow-{number}").unwrap();
    }
    script.push_str("> cluster slow open\n> wait 2m\n");
    let played = fixpoint_sim::play(&script).unwrap();
    assert!(played.text.contains("configmap/a  v=1  [prod]"), "{}", played.text);
}

//! What a person can say of one tool, on the demo's world.

use crate::world::Demo;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Asks again until the tool's status says so: the reconciler needs a moment.
fn until(demo: &Demo, folder: &Path, words: &str) {
    let begun = Instant::now();
    loop {
        let status = demo.run(folder, &["status", "wordcount"]);
        if status.out.contains(words) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {words}\n{status:#?}");
    }
}

pub fn a_tool_goes_back_and_follows_its_branch_again(demo: &Demo, folder: &Path) {
    let history = demo.run(folder, &["history", "wordcount"]);
    assert_eq!(history.exit, 0, "{history:#?}");
    let ready: Vec<_> = history.out.lines().filter(|line| line.contains("  ready")).collect();
    assert!(ready.len() >= 2 && ready[0].starts_with("main@"), "{history:#?}");
    let listed = demo.run(folder, &["history", "wordcount", "--json"]).json();
    let running = listed["deployments"][0]["commit"].as_str().expect("a commit").to_owned();

    let audit = demo.run(folder, &["audit", "wordcount"]);
    assert_eq!(audit.exit, 0, "{audit:#?}");
    let corrected = "by platform, drift by kubectl";
    assert!(audit.out.contains("new revision: ") && audit.out.contains(corrected), "{audit:#?}");
    let told = demo.run(folder, &["audit", "wordcount", "--json"]).json();
    assert!(told["events"].to_string().contains("[spec."), "{told:#}");

    let back = demo.run(folder, &["rollback", "wordcount", "--until", "2h", "--reason", "too new"]);
    assert_eq!(back.exit, 0, "{back:#?}");
    assert!(back.out.contains("rolled back") && back.err.contains("toolforge release wordcount"), "{back:#?}");
    until(demo, folder, "pinned to");
    let status = demo.run(folder, &["status", "wordcount"]);
    assert!(status.out.contains("too new") && status.out.contains("until "), "{status:#?}");
    assert!(!status.out.contains(&format!("main@{}\n", &running[..7])), "{status:#?}");

    assert_eq!(demo.run(folder, &["release", "wordcount"]).exit, 0);
    until(demo, folder, &format!("{} runs as it should\n", &running[..7]));
    let told = demo.run(folder, &["audit", "wordcount", "--json"]).json();
    let said = |cause: &str| {
        let of_person = |event: &&Value| event["reason"] == "Pin" && event["cause"] == cause;
        told["events"].as_array().into_iter().flatten().find(of_person).cloned().unwrap_or_default()
    };
    let (back, released) = (said("rolled back"), said("released"));
    assert!(back["who"].to_string().contains("too new"), "{told:#}");
    assert_eq!(released["objects"][0]["object"], "tool/wordcount", "{told:#}");
    assert!(released["objects"][0]["fields"].to_string().contains("spec.pin.commit"), "{told:#}");
}

pub fn what_cannot_be_done_is_refused_with_a_next_step(demo: &Demo, folder: &Path) {
    for (arguments, words) in [
        (&["rollback", "wordcount", "--to", "0000000"][..], "is no revision that was Ready"),
        (&["hold", "wordcount", "--until", "yesterday"], "neither a length such as 2h nor a time"),
        (&["hold", "nobody"], "there is no tool nobody"),
        (&["audit", "wordcuont"], "Did you mean `wordcount`?"),
        (&["status", "wordcuont"], "Did you mean `wordcount`?"),
        (&["prune", "wordcount", "--allow", "1a2b3c"], "no deletion 1a2b3c is held"),
        (&["delete", "wordcount"], "the config repository still names wordcount"),
        (&["delete", "wordcount", "--namespace"], "the config repository still names wordcount"),
    ] {
        let refused = demo.run(folder, arguments);
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{refused:#?}");
        assert!(refused.err.contains(words), "{refused:#?}");
    }
}

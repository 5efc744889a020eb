//! Every example is what its comment says: good, or broken on purpose and in that way.

use crate::harness::{examples, toolforge};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The findings of an example that is broken on purpose; all others are good.
const BROKEN: [(&str, &[&str]); 2] =
    [("broken-yaml", &["yaml-tab"]), ("half-broken", &["schedule-never-runs", "unknown-key"])];

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the examples");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_example_is_good_or_broken_as_it_says() {
    let repos = examples().join("repos");
    let broken: BTreeMap<_, _> = BROKEN.into();
    for name in names(&repos) {
        for branch in names(&repos.join(&name)) {
            let path = format!("repos/{name}/{branch}");
            let arguments = ["check", &path, "--tool", &name, "--platform", "platform/platform.yaml", "--json"];
            let found = toolforge(&examples(), &arguments).json();
            let errors: Vec<_> = found["diagnostics"].as_array().expect("findings").iter().collect();
            let mut codes: Vec<&str> = errors
                .into_iter()
                .filter(|finding| finding["severity"] == "error")
                .filter_map(|finding| finding["code"].as_str())
                .collect();
            codes.sort_unstable();
            assert_eq!(codes, *broken.get(name.as_str()).unwrap_or(&&[][..]), "{path}: {found:#}");
        }
    }
}

#[test]
fn a_broken_component_leaves_the_others_standing() {
    let half = toolforge(&examples(), &["check", "repos/half-broken/main", "--json"]).json();
    assert_eq!(half["components"]["good"][0]["name"], "web");
    assert_eq!(half["components"]["withheld"][0]["component"], "report");
    let rendered = toolforge(&examples(), &["render", "repos/half-broken/main"]);
    assert_eq!(rendered.exit, 2);
    assert!(rendered.out.contains("kind: Deployment") && !rendered.out.contains("kind: CronJob"), "{rendered:#?}");
}

#[test]
fn the_config_repository_names_a_repository_and_a_branch_for_each_tool_and_forgets_none() {
    let config = examples().join("platform");
    let ran = toolforge(&config, &["check"]);
    assert_eq!(ran.exit, 0, "{ran:#?}");
    let mut used = Vec::new();
    for file in names(&config.join("tools")) {
        let text = fs::read(config.join("tools").join(&file)).expect("the file");
        let (tool, report) = renderer::tool::parse(&text, &file);
        assert!(report.is_good(), "{file}: {report:#?}");
        let tool = tool.expect("a good file gives a tool");
        let name = tool.repository.rsplit('/').next().expect("a name").to_owned();
        let folder = examples().join("repos").join(&name).join(&tool.branch);
        assert!(folder.is_dir(), "{file}: {} is missing", folder.display());
        used.push(name);
    }
    for name in names(&examples().join("repos")) {
        assert!(used.contains(&name), "repos/{name} belongs to no tool");
    }
    assert!(used.len() >= 8);
}

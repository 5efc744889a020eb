//! What operators apply, as they review it: `UPDATE_GOLDEN=1 cargo test -p planner --test install` writes it anew.

use planner::Admission;
use planner::install::{Process, install};
use renderer::Platform;
use std::path::Path;

fn platform() -> Platform {
    let text = include_str!("../../../examples/platform/platform.yaml");
    let image = format!("registry.tools.example/toolforge@sha256:{}", "a".repeat(64));
    let text = format!("{text}  builds: {{backend: lifecycle, lifecycle: {{image: \"{image}\"}}}}\n");
    // The examples' buildpacks say no version, which this backend asks for.
    let text = text.replace("@sha256:", ":1.0.0@sha256:").replace(":24:1.0.0@", ":24@");
    let (platform, report) = renderer::platform::parse(text.as_bytes(), "platform.yaml");
    platform.unwrap_or_else(|| panic_with(&format!("{report:?}")))
}

#[expect(clippy::panic, reason = "the example is broken")]
fn panic_with(report: &str) -> Platform {
    panic!("{report}")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a golden is a file")]
fn what_operators_apply_reads_as_reviewed() {
    let image = format!("registry.tools.example/toolforge@sha256:{}", "a".repeat(64));
    let process = Process { image: &image, config: "https://git.example/platform", platform: None };
    let platform = platform();
    let made = renderer::to_yaml(&install(&platform, &Admission::shipped(&platform, &[]), &process));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/install.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).expect("a golden");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, made, "differs from examples/install.yaml; if that is meant, run with UPDATE_GOLDEN=1");
}

#[test]
fn nothing_stands_before_what_it_stands_in() {
    let process = Process { image: "i", config: "c", platform: Some("tools") };
    let platform = platform();
    let objects = install(&platform, &Admission::shipped(&platform, &[]), &process);
    for (place, object) in objects.iter().enumerate() {
        let Some(namespace) = object.id.namespace.as_deref().filter(|name| *name != "default") else { continue };
        let made = objects.iter().position(|one| one.id.kind == "Namespace" && one.id.name == namespace);
        assert!(made.is_some_and(|made| made < place), "{}", object.id);
    }
}

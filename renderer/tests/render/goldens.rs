//! Every folder of `examples/render/` is one case: what stands in it decides what is rendered into `rendered.yaml`.
//!
//! - `toolforge.yaml`: the components' objects, with every image found in the registry, and what asks for its builds;
//! - else `tool.yaml`: what the tool has before its first component;
//! - else `platform.yaml`: what the platform itself has.
//!
//! A `tool.yaml` or `platform.yaml` beside a `toolforge.yaml` takes the place of the tests' own.
//! `UPDATE_GOLDEN=1 cargo test -p renderer --test render` writes the expectations anew.

#![expect(clippy::disallowed_methods, reason = "reads its cases, and has failed where it cannot")]

use crate::world;
use renderer::{
    Config, Files, Image, Platform, Rendered, RenderedComponent, Report, Revision, Siblings, Tool, platform,
    render_config, render_platform, render_revision, to_yaml, tool,
};
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/render");
    let entries = std::fs::read_dir(folder).expect("examples/render");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.sort();
    cases
}

fn good<T>((value, report): (Option<T>, Report)) -> T {
    value.unwrap_or_else(|| unreachable!("{report:?}"))
}

fn rendered(case: &Path) -> String {
    let read = |name: &str| std::fs::read(case.join(name)).ok();
    let platform_file = read("platform.yaml").map(|bytes| good(platform::parse(&bytes, "platform.yaml")));
    let tool_file = read("tool.yaml").map(|bytes| good(tool::parse(&bytes, "tools/wordcount.yaml")));
    match (read("toolforge.yaml"), tool_file, platform_file) {
        (Some(config), tool, platform) => {
            let files = Files { config: Some(config), ..Files::default() };
            let revision = Revision { files, ..world::revision() };
            let (platform, tool) = (platform.unwrap_or_else(world::platform), tool.unwrap_or_else(world::tool));
            let rendered = render_revision(&platform, &tool, &revision, &Siblings::default());
            let builds: Vec<_> = rendered.builds.iter().filter_map(|build| build.object(&platform, &tool)).collect();
            components(&rendered) + &to_yaml(&builds)
        }
        (None, Some(tool), platform) => tool_wide(&platform.unwrap_or_else(world::platform), &tool),
        (None, None, Some(platform)) => to_yaml(&render_platform(&platform)),
        (None, None, None) => unreachable!("{}: no input", case.display()),
    }
}

fn tool_wide(platform: &Platform, tool: &Tool) -> String {
    to_yaml(&render_config(platform, tool, &world::revision(), &Config::default(), &Siblings::default()).objects)
}

fn components(rendered: &Rendered) -> String {
    let mut text = String::new();
    for finding in &rendered.report.diagnostics {
        let place = finding.place.map_or_else(String::new, |place| format!(" at {}:{}", place.line, place.column));
        writeln!(text, "# {}{place}: {}", finding.code, finding.message).expect("a string");
    }
    for component in &rendered.components {
        text.push_str(&described(component));
        text.push_str(&to_yaml(&component.at(&world::pinned(component)).0));
    }
    text
}

/// What a component has besides its objects.
fn described(component: &RenderedComponent) -> String {
    let image = match &component.image {
        Image::Prebuilt { reference } => format!("prebuilt {reference}"),
        Image::Built { repository, build } => format!("built {repository}:{}...", build.short()),
        Image::Unresolved { why } => format!("unresolved: {why}"),
    };
    let secrets = if component.secrets.is_empty() {
        String::new()
    } else {
        format!("# needs {}\n", component.secrets.join(", "))
    };
    format!("---\n# {} {}, image {image}\n{secrets}", component.kind.as_str(), component.name)
}

#[test]
fn every_case_renders_as_expected() {
    let mut wrong = Vec::new();
    for case in cases() {
        let text = rendered(&case);
        let expected = case.join("rendered.yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &text).expect("a golden");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "differs from rendered.yaml; if that is meant, run with UPDATE_GOLDEN=1\n{}",
        wrong.join("\n")
    );
}

/// A withheld component in a golden case of rendering would hide what the case is about.
#[test]
fn no_case_has_an_error() {
    for case in cases() {
        let text = rendered(&case);
        assert!(text.contains("kind: "), "{}: nothing is rendered\n{text}", case.display());
    }
}

/// Every kind that we render is in some case.
#[test]
fn every_kind_has_a_case() {
    let all: String = cases().iter().map(|case| rendered(case)).collect();
    for kind in [
        "Tool",
        "Namespace",
        "ServiceAccount",
        "ResourceQuota",
        "LimitRange",
        "NetworkPolicy",
        "Deployment",
        "Service",
        "Ingress",
        "HTTPRoute",
        "PodDisruptionBudget",
        "CronJob",
        "Job",
        "CustomResourceDefinition",
        "ConfigMap",
    ] {
        assert!(all.contains(&format!("\nkind: {kind}\n")), "{kind}");
    }
}

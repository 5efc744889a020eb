//! What holds for every valid config.

use crate::{arbitrary, restricted, world};
use proptest::prelude::*;
use renderer::render::{APPLYSET_ID, MARK, PART_OF, applyset_id};
use renderer::{CommitId, Config, Object, ObjectId, Rendered, Siblings, render_config, to_yaml};
use serde_json::Value;
use std::collections::BTreeSet;

fn rendered(config: &Config) -> Rendered {
    render_config(&world::platform(), &world::tool(), &world::revision(), config, &Siblings::default())
}

/// All objects, with images filled in.
fn objects(rendered: &Rendered) -> Vec<Object> {
    let components = rendered.components.iter().flat_map(|component| component.at(&world::pinned(component)).0);
    rendered.objects.iter().cloned().chain(components).collect()
}

fn template(object: &Object) -> Option<&Value> {
    ["/spec/template", "/spec/jobTemplate/spec/template"].iter().find_map(|at| object.value.pointer(at))
}

/// Empty maps, empty lists and nulls vanish in the API server; a selector may be empty, for it says "all".
fn vanishing(value: &Value, at: &str) -> Vec<String> {
    let (children, empty): (Vec<(String, &Value)>, bool) = match value {
        Value::Object(map) => (map.iter().map(|(key, value)| (format!("{at}/{key}"), value)).collect(), map.is_empty()),
        Value::Array(list) => {
            (list.iter().enumerate().map(|(i, value)| (format!("{at}/{i}"), value)).collect(), list.is_empty())
        }
        Value::Null => (Vec::new(), true),
        _ => (Vec::new(), false),
    };
    let own = (empty && !at.ends_with("/podSelector")).then(|| at.to_owned());
    own.into_iter().chain(children.iter().flat_map(|(at, value)| vanishing(value, at))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_valid_component_is_rendered(config in arbitrary::config()) {
        let rendered = rendered(&config);
        prop_assert_eq!(&rendered.withheld, &[], "{:?}", rendered.report);
        let names: Vec<_> = rendered.components.iter().map(|component| &component.name).collect();
        prop_assert_eq!(names, config.components.keys().collect::<Vec<_>>());
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(config in arbitrary::config()) {
        let (first, again) = (rendered(&config), rendered(&config));
        prop_assert_eq!(to_yaml(&objects(&first)), to_yaml(&objects(&again)));
        prop_assert_eq!(first, again);
    }

    #[test]
    fn a_commit_that_leaves_tree_and_config_alone_changes_nothing(config in arbitrary::config()) {
        let mut next = world::revision();
        next.commit = Some(CommitId::new("f".repeat(40)).expect("a commit"));
        let after = render_config(&world::platform(), &world::tool(), &next, &config, &Siblings::default());
        // Only where a build would fetch its source differs.
        prop_assert_eq!(Rendered { builds: Vec::new(), ..rendered(&config) }, Rendered { builds: Vec::new(), ..after });
    }

    #[test]
    fn everything_carries_the_mark_and_no_template_does(config in arbitrary::config()) {
        for object in objects(&rendered(&config)) {
            let labels = &object.value["metadata"]["labels"];
            prop_assert_eq!(&labels[MARK], "wordcount", "{}", object.id);
            let set = if object.id.kind == "Tool" { APPLYSET_ID } else { PART_OF };
            prop_assert_eq!(&labels[set], &Value::from(applyset_id(&world::tool().name)), "{}", object.id);
            let text = template(&object).map(Value::to_string).unwrap_or_default();
            prop_assert!(!text.contains(MARK) && !text.contains(PART_OF), "{}", object.id);
        }
    }

    #[test]
    fn every_pod_is_restricted_and_runs_an_image_by_digest(config in arbitrary::config()) {
        let objects = objects(&rendered(&config));
        let templates: Vec<&Value> = objects.iter().filter_map(template).collect();
        prop_assert_eq!(templates.len(), config.components.len());
        for template in templates {
            prop_assert_eq!(restricted::violations(&template["spec"]), Vec::<String>::new());
            let image = template["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            prop_assert!(image.ends_with(&format!("@sha256:{}", "a".repeat(64))), "{}", image);
            prop_assert_eq!(image.rsplit('/').next().unwrap_or_default().matches(':').count(), 1, "{}", image);
        }
    }

    #[test]
    fn nothing_leaves_the_tools_namespace_and_no_two_objects_share_a_name(config in arbitrary::config()) {
        let objects = objects(&rendered(&config));
        let ids: BTreeSet<&ObjectId> = objects.iter().map(|object| &object.id).collect();
        prop_assert_eq!(ids.len(), objects.len());
        for object in &objects {
            prop_assert_eq!(&Object::new(object.value.clone()).expect("an object").id, &object.id);
            prop_assert!(object.id.name.len() <= 63, "{}", object.id);
            match &object.id.namespace {
                Some(namespace) => prop_assert_eq!(namespace, "tool-wordcount"),
                None => prop_assert!(["Tool", "Namespace"].contains(&object.id.kind.as_str()), "{}", object.id),
            }
        }
    }

    #[test]
    fn nothing_is_rendered_that_vanishes_in_the_server(config in arbitrary::config()) {
        for object in objects(&rendered(&config)) {
            prop_assert_eq!(vanishing(&object.value, ""), Vec::<String>::new(), "{}", object.id);
        }
    }

    #[test]
    fn what_is_printed_reads_back_equal(config in arbitrary::config()) {
        for object in objects(&rendered(&config)) {
            let text = to_yaml(std::slice::from_ref(&object));
            let again: Value = serde_yaml::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(&again, &object.value, "{}", text);
        }
    }
}

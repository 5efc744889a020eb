//! What a stranger's file makes is bounded: any text reads and renders without a panic, and no file makes more objects
//! than the platform will carry. One seed, so that every run is the same; `bounded.regressions` holds what
//! once failed.

#![expect(clippy::unwrap_used, reason = "fails where a value is missing")]

use proptest::prelude::*;
use proptest::test_runner::{FailurePersistence, FileFailurePersistence, RngSeed};
use renderer::{Files, Platform, Rendered, Revision, Siblings, Tool, render_revision, tool};
use std::collections::BTreeSet;

const MAX_OBJECT_BYTES: usize = 2 << 20;

fn wordcount() -> Tool {
    const FILE: &[u8] = b"apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {name: wordcount}\nspec: {repository: 'https://git.example/wordcount'}\n";
    tool::parse(FILE, "tools/wordcount.yaml").0.unwrap()
}

fn rendered(text: &str) -> Rendered {
    let files = Files { config: Some(text.as_bytes().to_vec()), ..Files::default() };
    let revision = Revision { files, ..Revision::nothing("main") };
    render_revision(&Platform::builtin(), &wordcount(), &revision, &Siblings::default())
}

/// Every component that is named is rendered or withheld, and what is rendered is no more than is carried.
fn check(rendered: &Rendered) -> Result<(), TestCaseError> {
    let objects = rendered.components.iter().flat_map(|made| &made.objects).chain(&rendered.objects);
    let bytes: usize = objects.map(|object| object.value.to_string().len()).sum();
    prop_assert!(bytes <= MAX_OBJECT_BYTES + (MAX_OBJECT_BYTES >> 4), "{} bytes", bytes);
    let made: BTreeSet<&str> = rendered.components.iter().map(|made| made.name.as_str()).collect();
    let withheld: BTreeSet<&str> = rendered.withheld.iter().map(|withheld| withheld.component.as_str()).collect();
    prop_assert!(made.is_disjoint(&withheld), "{:?} and {:?}", made, withheld);
    prop_assert!(withheld.is_empty() || !rendered.report.is_good(), "nothing is withheld without a reason");
    prop_assert!(!rendered.unusable || made.is_empty());
    Ok(())
}

/// Many components under much environment: what is written once is copied into all.
fn copied() -> impl Strategy<Value = (String, usize)> {
    (1..8usize, 0..16_000usize, 1..200usize, 0..2_000usize).prop_map(|(variables, bytes, components, own)| {
        let value = |bytes: usize| "a".repeat(bytes);
        let shared: String = (0..variables).map(|n| format!("  A{n}: x{}\n", value(bytes))).collect();
        let each = |n: usize| format!("  c{n}:\n    env: {{B: x{}}}\n    run: {{command: c}}\n", value(own * n / 100));
        let components_text: String = (0..components).map(each).collect();
        (format!("env:\n{shared}components:\n{components_text}"), components)
    })
}

/// A good file in which one part is replaced by another part of it, or by something else.
fn mutated() -> impl Strategy<Value = String> {
    const GOOD: &str = "config_version: v1beta1\nenv: &all {A: b}\nsecrets: [KEY]\ncomponents:\n  web:\n    build: {repository: https://h.example/a, ref: main}\n    env: {<<: *all, C: d}\n    run: {command: web --x, port: 8000, publish: [/, /api], replicas: 2, health_check_http: /healthz, cpu: '1', memory: 1Gi}\n  job:\n    component_type: one-off\n    image: example.org/x\n    run: {command: migrate, run_id: '1', timeout: 60}\n  cron:\n    component_type: scheduled\n    build: {reuse_from: web}\n    run:\n      command: |\n        x\n      schedule: \"*/5 * * * *\"\n";
    let strange =
        prop::sample::select(vec!["", "\0", "\u{202e}", "&b ", "*all", "99999999999", "'", "- ", "{", "~", "é"]);
    let part = (0..GOOD.len(), 0..60usize).prop_map(|(at, length)| &GOOD[at..(at + length).min(GOOD.len())]);
    let put = prop_oneof![part.prop_map(str::to_owned), strange.prop_map(str::to_owned)];
    let edit = (0..GOOD.len(), 0..40usize, put);
    prop::collection::vec(edit, 1..4).prop_map(|edits| {
        let mut text = GOOD.as_bytes().to_vec();
        for (at, cut, put) in edits {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.bytes());
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn one_seed(cases: u32) -> ProptestConfig {
    let regressions = FileFailurePersistence::Direct("tests/bounded.regressions");
    let failure_persistence: Option<Box<dyn FailurePersistence>> = Some(Box::new(regressions));
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x746f_6f6c), failure_persistence, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(one_seed(40))]

    #[test]
    fn what_one_file_makes_is_bounded_however_it_is_copied((text, components) in copied()) {
        let rendered = rendered(&text);
        check(&rendered)?;
        if !rendered.unusable {
            prop_assert_eq!(rendered.components.len() + rendered.withheld.len(), components);
        }
    }
}

proptest! {
    #![proptest_config(one_seed(300))]

    #[test]
    fn no_mutation_of_a_file_makes_rendering_panic_or_lose_a_component(text in mutated()) {
        check(&rendered(&text))?;
    }

    #[test]
    fn no_bytes_make_rendering_panic(text in "\\PC{0,200}|[a-z: \n{}\\[\\]*&-]{0,200}") {
        check(&rendered(&text))?;
    }
}

#[test]
fn the_worst_go_first_and_the_others_stay() {
    let value = "a".repeat(15_000);
    let shared: String = (0..7).map(|n| format!("  A{n}: {value}\n")).collect();
    let own = |n: usize| if n == 3 || n == 5 { format!("{{B: {}}}", &value[..n * 2_000]) } else { "{}".to_owned() };
    let each = |n: usize| format!("  c{n}:\n    env: {}\n    run: {{command: c}}\n", own(n));
    let all = |components: usize| {
        let components: String = (0..components).map(each).collect();
        rendered(&format!("env:\n{shared}components:\n{components}"))
    };
    assert_eq!(all(19).withheld, []);
    let withheld = |rendered: Rendered| -> Vec<String> {
        rendered.withheld.into_iter().map(|withheld| withheld.component).collect()
    };
    assert_eq!(withheld(all(20)), ["c5"]);
    assert_eq!(withheld(all(21)), ["c5", "c3"]);
}

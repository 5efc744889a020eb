//! One closed vocabulary: what the code says is explained in docs/glossary.md, and nothing there is said twice.

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect(path)
}

/// The words that plan.rs gives to causes, reasons and actions: the right-hand sides of its `word` tables.
fn spoken() -> BTreeSet<String> {
    let plan = read("reconciler/planner/src/plan.rs") + &read("reconciler/planner/src/plan/why.rs");
    let words = plan.lines().filter_map(|line| {
        let (variant, word) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
        let word = word.strip_suffix("\",")?;
        let name = variant.split([' ', '(', '{']).next()?;
        // `Self::AwaitingBuild { .. } => "AwaitingBuild"` and `Self::Prune => "prune"`, not free texts.
        (name.eq_ignore_ascii_case(word)).then(|| word.to_owned())
    });
    words.collect()
}

fn explained() -> Vec<String> {
    let glossary = read("docs/glossary.md");
    let cells = glossary.lines().filter_map(|line| line.strip_prefix("| **")?.split(" |").next().map(str::to_owned));
    cells.flat_map(|cell| cell.split(", ").map(|word| word.trim_matches('*').to_owned()).collect::<Vec<_>>()).collect()
}

#[test]
fn every_word_of_a_plan_stands_in_the_glossary() {
    let (spoken, explained) = (spoken(), explained());
    assert!(spoken.len() > 15, "the tables of plan.rs are not where they were: {spoken:?}");
    for word in spoken {
        assert!(explained.contains(&word), "{word} is not in docs/glossary.md");
    }
}

#[test]
fn a_word_is_explained_once() {
    let mut seen = BTreeSet::new();
    // An action may be a verb of ours too.
    for word in explained().into_iter().filter(|word| word != "adopt" && word != "rebase") {
        assert!(seen.insert(word.clone()), "{word} stands twice in docs/glossary.md");
    }
}

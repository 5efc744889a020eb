//! `plan.txt` of every case: what the planner makes of it, as `toolforge diff` prints it. Read these in review. Where the
//! difference is meant, `UPDATE_GOLDEN=1 cargo test -p tests --test goldens` writes them anew; see [`tests::golden`].

use anyhow::{Result, ensure};

use planner::images::ImageRow;
use planner::observed::Seen;
use planner::plan::Plan;
use planner::{Judge, Moment};
use reconciler::execute::FIELD_MANAGER;
use tests::golden::{Case, RECORDED, cases};

/// 2026-01-01T00:30:00Z: recorded times are minutes from the beginning of that year.
const NOW_SECS: i64 = 1_767_227_400;

/// The plan for a cluster that holds what is shown and nothing else.
fn plan(case: &Case) -> Result<Plan> {
    let mut observed = case.observed()?;
    let subject = case.newest(Moment::from_unix_secs(NOW_SECS))?;
    let draft = subject.draft(&observed);
    case.ask_registry(&draft, &mut observed)?;
    let mut plan = draft.plan(&observed);
    while !plan.unconfirmed.is_empty() {
        observed.objects.extend(plan.unconfirmed.iter().map(|id| (id.clone(), Seen::Absent)));
        plan = draft.plan(&observed);
    }
    let judge = Judge { platform: &subject.platform, observed: &observed, field_manager: FIELD_MANAGER };
    let violations = judge.check(&plan);
    ensure!(violations.is_empty(), "{violations:?}");
    Ok(plan)
}

fn explained(case: &Case) -> Result<String> {
    let (plan, rows) = (plan(case)?, rows(case)?);
    let words = planner::explain::explain(&plan, &planner::explain::plain, &|_| None);
    Ok(words + &planner::images::told(&rows))
}

/// Where each component's image comes from.
fn rows(case: &Case) -> Result<Vec<ImageRow>> {
    let mut observed = case.observed()?;
    let subject = case.newest(Moment::from_unix_secs(NOW_SECS))?;
    let draft = subject.draft(&observed);
    case.ask_registry(&draft, &mut observed)?;
    let plan = draft.plan(&observed);
    Ok(draft.images(&plan, &observed))
}

fn all() -> Vec<Case> {
    ["render", RECORDED].into_iter().flat_map(|of| cases(of).expect("examples")).collect()
}

#[test]
fn every_case_plans_as_expected() {
    let mut wrong = Vec::new();
    for case in all() {
        let name = case.folder().display().to_string();
        let text = explained(&case).unwrap_or_else(|error| format!("{error:#}"));
        let expected = case.folder().join("plan.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &text).expect("a golden");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "differs from plan.txt; if that is meant, run with UPDATE_GOLDEN=1\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_case_of_drift_has_a_recorded_cluster_and_every_kind_of_answer_is_among_them() {
    let mut seen = String::new();
    for case in cases(RECORDED).expect("examples") {
        assert!(!case.observed().expect("live.yaml").objects.is_empty(), "{}: run record_examples", case.name());
        seen.push_str(&explained(&case).expect("a plan"));
    }
    for word in ["create", "configure", "prune", "unchanged", "drift by", "new revision", "invalid", "not ours"] {
        assert!(seen.contains(word), "no case shows {word}");
    }
}

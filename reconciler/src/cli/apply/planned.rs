//! `apply plan.json`: exactly what was planned, or nothing. The plan is made again from the world as it is, and has to
//! come to the same; see [`planner::contract`].

use super::{Apply, Args, ended, newest, under};
use crate::cli::plan_file;
use crate::cli::target::TargetArgs;
use crate::ui::{Exit, Ui, failed, wrong_use};
use planner::contract::{Contract, Difference};
use reconciler::pass::Decided;
use reconciler::source::worktree::Worktree;
use std::path::Path;
use tokio_util::sync::CancellationToken;

pub async fn run(args: &Args, file: &Path, here: &Worktree, ui: &Ui, stop: CancellationToken) -> anyhow::Result<Exit> {
    if args.wait {
        let hint = "Leave it out; what waits after this plan is planned again.";
        return Err(wrong_use("`--wait` goes on beyond what a plan says").hint(hint).into());
    }
    let contract = plan_file::read(file)?;
    let target = TargetArgs { tool: Some(contract.tool.clone()), at: args.at.clone() };
    let target = target.find(here, ui).await?;
    let newest = newest(&target).await?.map_err(|why| failed(format!("cannot read the repository: {why}")))?;
    let apply = Apply::new(&target, Ok(newest));
    // Before the lease is asked for: a plan that does not fit writes nothing, not even that.
    let differences = differences(&apply, &contract, &decide(&apply, &contract).await);
    if !differences.is_empty() {
        return plan_file::refuse(file, &contract, &differences, ui);
    }
    let held = super::claim(args, &target).await?;
    under(held, carry_out(&apply, &contract, args, file, ui), stop, ui).await
}

/// Nobody else writes now, so the plan that fits is the one that is executed.
async fn carry_out(apply: &Apply<'_>, contract: &Contract, args: &Args, file: &Path, ui: &Ui) -> anyhow::Result<Exit> {
    let decided = decide(apply, contract).await;
    let differences = differences(apply, contract, &decided);
    if !differences.is_empty() {
        return plan_file::refuse(file, contract, &differences, ui);
    }
    let outcome = apply.execute(&decided).await;
    apply.show(&decided, &outcome, &mut String::new(), ui)?;
    apply.conclude(&decided.plan, &outcome, args, ui)?;
    Ok(ended(&outcome))
}

/// The plan as it is made from what the contract was made from: what an account that may only read was not told, this
/// one does not go by.
async fn decide(apply: &Apply<'_>, contract: &Contract) -> Decided {
    let mut decided = apply.target.decide(&apply.subject).await;
    if contract.forget_answers(&mut decided.observed) {
        let draft = apply.subject.draft(&decided.observed);
        return draft.decide(decided.observed, &apply.target.connected.cluster.client).await;
    }
    decided
}

fn differences(apply: &Apply<'_>, contract: &Contract, decided: &Decided) -> Vec<Difference> {
    let now = apply.subject.draft(&decided.observed).contract(decided, plan_file::MADE_BY);
    contract.differences(&now, &decided.observed)
}

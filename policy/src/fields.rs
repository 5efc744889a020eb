//! At which fields a validation looks. A verdict has no place in the object it is about, so whoever wants to show a
//! person the line that caused it goes by these names.

use crate::compile::Expression;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use std::collections::BTreeMap;

/// What each variable looks at, by its name.
pub(crate) struct Fields<'a>(BTreeMap<&'a str, Vec<String>>);

impl<'a> Fields<'a> {
    /// Of variables in their order, each named `variables.<name>`.
    pub(crate) fn of_variables(variables: &'a [(String, Expression)]) -> Self {
        let mut fields = Self(BTreeMap::new());
        for (name, expression) in variables {
            let of = fields.of(expression);
            fields.0.insert(name.strip_prefix("variables.").unwrap_or(name), of);
        }
        fields
    }

    /// The names that it selects or writes out, in its own order, then those of the variables among them.
    pub(crate) fn of(&self, expression: &Expression) -> Vec<String> {
        let mut own = Vec::new();
        walk(expression.program.expression(), &mut own);
        let of_variables = own.iter().filter_map(|name| self.0.get(name.as_str())).flatten().cloned();
        let mut found: Vec<String> = Vec::new();
        for name in own.iter().cloned().chain(of_variables) {
            if !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }
}

/// As deep as [`crate::language`] allows.
fn walk(expression: &IdedExpr, found: &mut Vec<String>) {
    let mut all = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.for_each(|part| walk(part, found));
    match &expression.expr {
        Expr::Select(select) => {
            all(&mut std::iter::once(&*select.operand));
            found.push(select.field.clone());
        }
        Expr::Literal(LiteralValue::String(text)) => found.push(text.inner().to_owned()),
        Expr::Call(call) => all(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Expr::List(list) => all(&mut list.elements.iter()),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    all(&mut [&entry.key, &entry.value].into_iter());
                }
            }
        }
        Expr::Comprehension(one) => {
            all(&mut [&one.iter_range, &one.accu_init, &one.loop_cond, &one.loop_step, &one.result].into_iter());
        }
        _ => {}
    }
}

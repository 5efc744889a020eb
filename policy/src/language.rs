//! CEL as we can evaluate it exactly: which names a rule may use, and what is made of its text.
//!
//! The crate below has no type checker, so an expression is walked once when it is loaded: every function must be one
//! whose answers were compared with the server's, every name must be declared, and of `request`, `namespaceObject` and
//! `params` only what we know before the server does may be asked for. Length and nesting are bounded because both the
//! parser and the evaluation recurse: a deep expression would end the process and not the rule.

use crate::pattern;
use crate::problem::Refusal;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Env, Program};
use std::sync::{Arc, LazyLock};

/// Most bytes of one expression; the longest of ours has a quarter.
const MAX_BYTES: usize = 4096;
/// Deepest nesting of brackets, and longest chain of operators without one: together they bound the recursion.
const MAX_BRACKETS: usize = 16;
const MAX_DEPTH: usize = 64;

/// Global functions, by their number of arguments.
const GLOBAL: [(&str, &[usize]); 9] = [
    ("size", &[1]),
    ("int", &[1]),
    ("string", &[1]),
    ("dyn", &[1]),
    ("quantity", &[1]),
    ("isQuantity", &[1]),
    ("optional.of", &[1]),
    ("optional.ofNonZeroValue", &[1]),
    ("optional.none", &[0]),
];
/// Functions on a value.
const MEMBER: [(&str, &[usize]); 25] = [
    ("size", &[0]),
    ("contains", &[1]),
    ("startsWith", &[1]),
    ("endsWith", &[1]),
    ("matches", &[1]),
    ("charAt", &[1]),
    ("indexOf", &[1]),
    ("lastIndexOf", &[1]),
    ("lowerAscii", &[0]),
    ("upperAscii", &[0]),
    ("replace", &[2]),
    ("split", &[1]),
    ("substring", &[1, 2]),
    ("trim", &[0]),
    ("join", &[0, 1]),
    ("sort", &[0]),
    ("distinct", &[0]),
    ("slice", &[2]),
    ("hasValue", &[0]),
    ("value", &[0]),
    ("or", &[1]),
    ("orValue", &[1]),
    ("compareTo", &[1]),
    ("isGreaterThan", &[1]),
    ("isLessThan", &[1]),
];
const OPERATORS: [&str; 20] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::OPT_INDEX,
    operators::OPT_SELECT,
    operators::NOT_STRICTLY_FALSE,
];
/// What may be asked of `request`: all that does not depend on how the request was sent.
const OF_REQUEST: [&[&str]; 9] = [
    &["kind"],
    &["requestKind"],
    &["resource"],
    &["requestResource"],
    &["subResource"],
    &["requestSubResource"],
    &["name"],
    &["namespace"],
    &["operation"],
];

/// Every name that an expression may begin with or call.
pub fn words() -> impl Iterator<Item = &'static str> {
    let roots = ["object", "oldObject", "request", "params", "namespaceObject", "variables"];
    let functions = GLOBAL.iter().chain(&MEMBER).map(|(name, _)| name.rsplit('.').next().unwrap_or(name));
    roots.into_iter().chain(["has", "all", "exists", "exists_one", "map", "filter", "optMap"]).chain(functions)
}

/// The functions, as the evaluation finds them.
pub(crate) fn env() -> &'static Arc<Env> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib();
        for extension in
            [cel::extensions::strings, cel::extensions::lists, pattern::extension, crate::quantity::extension]
        {
            env.add_extension(extension).expect("no two functions of one name");
        }
        Arc::new(env)
    });
    &ENV
}

/// Which names an expression may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Whether the policy has a `paramKind`.
    pub(crate) params: bool,
    /// Whether the namespace is known: not in `matchConditions`.
    pub(crate) namespace: bool,
    /// Variables that are declared before it.
    pub(crate) variables: &'a [String],
}

/// Parses and walks `text`.
pub(crate) fn compile(text: &str, names: Names<'_>) -> Result<Program, Refusal> {
    bounded(text)?;
    let program = env().compile(text).map_err(|errors| {
        let said = errors.errors.first().map_or_else(String::new, |e| format!("{}:{}: {}", e.pos.0, e.pos.1, e.msg));
        Refusal::new(format!("no expression: {said}"), "Line and column are those within the expression.")
    })?;
    Walk { names, bound: Vec::new(), depth: 0 }.expression(program.expression())?;
    Ok(program)
}

/// Before the parser sees it.
fn bounded(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_BYTES {
        let message = format!("the expression has {} bytes; at most {MAX_BYTES} are taken", text.len());
        return Err(Refusal::new(message, "Give its parts names under `variables`."));
    }
    let (mut open, mut deepest, mut chain, mut longest) = (0_usize, 0, 0_usize, 0);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        // Each step of a chain is one of these; what separates two chains ends both.
        match c {
            ',' | '&' | '|' => chain = 0,
            '.' | '[' | '(' | '!' | '-' | '+' | '*' | '/' | '%' | '?' | '<' | '>' | '=' => chain += 1,
            _ => {}
        }
        (deepest, longest) = (deepest.max(open), longest.max(chain));
    }
    if deepest > MAX_BRACKETS || longest > MAX_DEPTH {
        return Err(too_deep());
    }
    Ok(())
}

fn too_deep() -> Refusal {
    Refusal::new("the expression is nested too deeply", "Give its parts names under `variables`.")
}

struct Walk<'a> {
    names: Names<'a>,
    /// Names that the comprehensions around bind.
    bound: Vec<&'a str>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn expression(&mut self, expression: &'a IdedExpr) -> Result<(), Refusal> {
        // A comprehension alone is four levels.
        if self.depth > 4 * MAX_DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        let walked = self.any(expression);
        self.depth -= 1;
        walked
    }

    fn any(&mut self, expression: &'a IdedExpr) -> Result<(), Refusal> {
        if let Some((root, fields)) = chain(expression)
            && !self.bound.contains(&root)
        {
            return self.name(root, &fields, is_presence_test(expression));
        }
        match &expression.expr {
            Expr::Ident(_) | Expr::Literal(LiteralValue::Boolean(_) | LiteralValue::Int(_) | LiteralValue::Null) => {
                Ok(())
            }
            Expr::Literal(LiteralValue::String(_) | LiteralValue::Double(_)) => Ok(()),
            Expr::Literal(_) => Err(unknown("a literal of type `uint` or `bytes`")),
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Call(call) => {
                self.function(call)?;
                let target = call.target.as_deref().filter(|target| !is_optional(target));
                target.into_iter().chain(&call.args).try_for_each(|part| self.expression(part))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => self.expression(&entry.key).and_then(|()| self.expression(&entry.value)),
                EntryExpr::StructField(_) => Err(unknown("a message")),
            }),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) | Expr::Unspecified => Err(unknown("a message")),
        }
    }

    fn comprehension(&mut self, comprehension: &'a ComprehensionExpr) -> Result<(), Refusal> {
        self.expression(&comprehension.iter_range)?;
        self.expression(&comprehension.accu_init)?;
        let before = self.bound.len();
        let bound = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref(), Some(&comprehension.accu_var)];
        for name in bound.into_iter().flatten() {
            if ["object", "oldObject", "request", "params", "namespaceObject", "variables"].contains(&name.as_str()) {
                return Err(Refusal::new(format!("`{name}` has a meaning already"), "Choose another name for it."));
            }
            self.bound.push(name);
        }
        let inner = [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
        inner.into_iter().try_for_each(|part| self.expression(part))?;
        self.bound.truncate(before);
        Ok(())
    }

    /// A name that no comprehension binds, and the constant fields that are asked of it.
    fn name(&self, root: &str, fields: &[&str], presence: bool) -> Result<(), Refusal> {
        let one_of = |allowed: &[&[&str]]| allowed.iter().any(|path| fields.starts_with(path));
        let known = match root {
            "object" | "oldObject" => true,
            "request" => one_of(&OF_REQUEST) || one_of(&[&["userInfo", "username"], &["userInfo", "groups"]]),
            "namespaceObject" => self.names.namespace && one_of(&[&["metadata", "name"], &["metadata", "labels"]]),
            "params" => self.names.params && one_of(&[&["data"]]),
            // Presence of a variable itself is no question: it is declared.
            "variables" => match fields {
                [name, deeper @ ..] => {
                    self.names.variables.iter().any(|one| one == name) && !(presence && deeper.is_empty())
                }
                [] => false,
            },
            _ => false,
        };
        if known {
            return Ok(());
        }
        let asked = std::iter::once(root).chain(fields.iter().copied()).collect::<Vec<_>>().join(".");
        Err(unknown(&format!("the name `{asked}`")))
    }

    fn function(&self, call: &cel::common::ast::CallExpr) -> Result<(), Refusal> {
        let listed = |table: &[(&str, &[usize])], name: &str| {
            table.iter().any(|(known, arities)| *known == name && arities.contains(&call.args.len()))
        };
        let name = call.func_name.as_str();
        let known = match call.target.as_deref() {
            Some(target) if is_optional(target) => listed(&GLOBAL, &format!("optional.{name}")),
            Some(_) => listed(&MEMBER, name),
            None => OPERATORS.contains(&name) || name == operators::IN || listed(&GLOBAL, name),
        };
        if !known {
            return Err(unknown(&format!("the function `{name}` with {} arguments", call.args.len())));
        }
        match call.args.first().map(|pattern| &pattern.expr) {
            Some(Expr::Literal(LiteralValue::String(pattern))) if name == "matches" => pattern::check(pattern.inner()),
            _ if name == "matches" => {
                Err(Refusal::new("a pattern that is not written out", "Write the pattern as a text in quotes."))
            }
            _ => Ok(()),
        }
    }
}

fn unknown(what: &str) -> Refusal {
    let hint = "Use what docs/policy.md lists; a rule that needs more can be applied to the cluster alone.";
    Refusal::new(format!("{what} can't be evaluated here exactly as on the API server"), hint)
}

fn is_optional(target: &IdedExpr) -> bool {
    matches!(&target.expr, Expr::Ident(name) if name == "optional")
}

fn is_presence_test(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Select(select) if select.test)
}

/// A name and the constant fields selected of it: `a.b`, `a.?b`, `a['b']`, `has(a.b)`.
fn chain(expression: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    match &expression.expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Select(select) => {
            let (root, mut fields) = chain(&select.operand)?;
            fields.push(&select.field);
            Some((root, fields))
        }
        Expr::Call(call)
            if [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT].contains(&call.func_name.as_str()) =>
        {
            let [of, field] = call.args.as_slice() else { return None };
            let Expr::Literal(LiteralValue::String(field)) = &field.expr else { return None };
            let (root, mut fields) = chain(of)?;
            // A variable is resolved by its whole name, which only a plain selection spells.
            if root == "variables" && fields.is_empty() {
                return None;
            }
            fields.push(field.inner());
            Some((root, fields))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<String> {
        let variables = ["pod".to_owned()];
        compile(text, Names { params: true, namespace: true, variables: &variables }).err().map(|r| r.message)
    }

    #[test]
    fn what_a_reasonable_rule_uses_is_taken() {
        for text in [
            "object.spec.replicas <= 5",
            "has(object.spec.x) && object.spec.?x.orValue(1) == 1",
            "variables.pod.spec.containers.all(c, c.image.startsWith('a/') && !has(c.ports))",
            "has(variables.pod.spec)",
            "params.data['max'] == namespaceObject.metadata.labels['toolforge.org/tool']",
            "params.?data[?'max'].orValue('1') == ''",
            "request.userInfo.groups.exists(g, g == 'a') || request.operation in ['CREATE']",
            "optional.none().orValue(true)",
            "object.spec.x.optMap(x, x + 1).orValue(2) == 3",
            "oldObject == null || object.spec != oldObject.spec",
            "object.a.map(x, x.b).filter(x, x > 1).sort().join(', ') == ''",
            "{'a': object.b}.a == [1, -2]",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }

    #[test]
    fn what_only_the_server_could_answer_is_refused() {
        for text in [
            "authorizer.group('').resource('pods').check('get').allowed()",
            "request.dryRun",
            "request.uid == ''",
            "request == null",
            "request[object.a] == 1",
            "namespaceObject.metadata.annotations['a'] == 'b'",
            "namespaceObject == null",
            "params.metadata.name == 'a'",
            "variables.other",
            "variables['pod']",
            "has(variables.pod)",
            "object.a.matches(object.b)",
            r"object.a.matches('\\d')",
            "duration('1h') > duration('1m')",
            "timestamp(object.a) > timestamp('2020-01-01T00:00:00Z')",
            "object.a.format(['b'])",
            "url(object.a).getHost() == 'b'",
            "type(object) == map",
            "object.all(k, v, true)",
            "[1].all(object, object == 1)",
            "object.a == b'x'",
            "object.a == 1u",
            "other",
            "Pod{name: 'a'}",
            "object.a.size(1)",
            "object.",
        ] {
            assert!(refused(text).is_some(), "{text}");
        }
    }

    /// Test threads have two megabytes of stack, as a worker of the reconciler has.
    #[test]
    fn no_expression_ends_the_process() {
        let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        let cases = [
            nested(2000),
            nested(MAX_BRACKETS),
            "!".repeat(4000) + "true",
            "-".repeat(4000) + "1",
            vec!["1"; 2000].join("+"),
            vec!["1"; MAX_DEPTH].join("+"),
            format!("object{}", ".a".repeat(2000)),
            format!("object{}", ".a".repeat(MAX_DEPTH)),
            format!("object{}", "[0]".repeat(1300)),
            vec!["true"; 600].join("&&"),
            vec!["1==1"; 500].join("||"),
            "true?".repeat(700) + "1" + &":1".repeat(700),
            "[".repeat(4000),
            "a.map(x, ".repeat(400),
        ];
        for text in cases {
            let compiled = compile(&text, Names { params: false, namespace: false, variables: &[] });
            if let Ok(program) = compiled {
                // What it is does not matter; that it ends does.
                drop(program.execute(&cel::Context::with_env(Arc::clone(env()))));
            }
        }
    }
}

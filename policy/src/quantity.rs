//! Kubernetes' quantities, `500m` and `1Gi`, as a type of CEL: `quantity`, `isQuantity`, `compareTo`, `isGreaterThan`,
//! `isLessThan` and `==`.
//!
//! They are exact: whole numbers of 10⁻⁹, which is as fine as Kubernetes is. What is finer, or too large for 128 bits, is
//! no quantity here; Kubernetes would round the one and cap the other, and no rule should rest on that.

use cel::common::types::{CelBool, CelInt, CelString, Type};
use cel::common::value::{StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use std::any::Any;
use std::cmp::Ordering;

static QUANTITY: Type = Type::new_unspecified_type("kubernetes.Quantity");

/// Digits after the point.
const SCALE: u32 = 9;

/// A number of 10⁻⁹.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Quantity(i128);

impl Val for Quantity {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        &QUANTITY
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Quantity {}

/// Declares the functions.
pub(crate) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_overload!(env, fn quantity: (CelString) -> Result<Quantity>, name = "quantity")?;
    cel::add_overload!(env, fn is_quantity: (CelString) -> CelBool, name = "isQuantity")?;
    cel::add_member_overload!(env, fn compare_to: (Quantity, Quantity) -> CelInt, name = "compareTo")?;
    cel::add_member_overload!(env, fn is_greater_than: (Quantity, Quantity) -> CelBool, name = "isGreaterThan")?;
    cel::add_member_overload!(env, fn is_less_than: (Quantity, Quantity) -> CelBool, name = "isLessThan")
}

fn quantity(text: &CelString<'_>) -> Result<Quantity, ExecutionError> {
    let text = text.inner();
    parse(text).map(Quantity).ok_or_else(|| ExecutionError::function_error("quantity", format!("`{text}` is none")))
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    CelBool::from(parse(text.inner()).is_some())
}

fn compare_to(this: &Quantity, other: &Quantity) -> CelInt {
    CelInt::from(match this.cmp(other) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })
}

fn is_greater_than(this: &Quantity, other: &Quantity) -> CelBool {
    CelBool::from(this > other)
}

fn is_less_than(this: &Quantity, other: &Quantity) -> CelBool {
    CelBool::from(this < other)
}

/// A sign, digits with at most one point, and a suffix or an exponent of ten.
fn parse(text: &str) -> Option<i128> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return None;
    }
    // No digit at all is nought: the server says so.
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let below = i32::try_from(fraction.len()).ok()?;
    let (factor, tens) = unit(suffix)?;
    scaled(digits.checked_mul(factor)?, tens.checked_sub(below)?)?.checked_mul(sign)
}

/// What a suffix multiplies by: a factor, and a power of ten.
fn unit(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 0));
    let decimal = |tens: i32| Some((1, tens));
    match suffix {
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        exponent => decimal(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

/// `digits` times ten to the `tens`, in 10⁻⁹; nothing if that is not whole.
fn scaled(digits: i128, tens: i32) -> Option<i128> {
    let tens = tens.checked_add(i32::try_from(SCALE).ok()?)?;
    let power = 10_i128.checked_pow(tens.unsigned_abs())?;
    if tens >= 0 {
        return digits.checked_mul(power);
    }
    (digits % power == 0).then_some(digits / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        for (one, same) in [
            ("1", "1000m"),
            ("1.5Gi", "1536Mi"),
            ("0.2G", "200M"),
            ("1e3", "1k"),
            ("5.", "5"),
            (".5", "500m"),
            ("-1", "-1000m"),
            ("2E", "2000P"),
            ("Mi", "0"),
        ] {
            assert_eq!(parse(one), parse(same), "{one} and {same}");
            assert!(parse(one).is_some(), "{one}");
        }
        for none in ["", "1,3G", "200K", "Three", "1..2", "--1", "1 ", "1Gib", "0.1n", "1e99"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}

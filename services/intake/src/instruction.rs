//! Reads an instruction: strictly as a whole, and line by line, so that a bad line does not refuse its neighbours.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use probity_domain::{
    CaseId, ITEM_RECORD_BYTES_MAX, ITEMS_PER_SUBMISSION_MAX, Item, ItemOutcome, Malformed, PartyId,
    Sha3_256,
};
use probity_proto::http::{INSTRUCTION_FORMAT, ItemDocument};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::blobs::Blob;

/// Longest instruction.
pub const INSTRUCTION_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest line. What can become a record has less, however it is written; and what is said of a line that does not
/// read is made before it is cut, so it must not be long either.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// An instruction whose lines are parsed and compared with each other, not yet with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    pub case: CaseId,
    pub automated: bool,
    pub on_behalf_of: Option<PartyId>,
    pub items: Vec<ItemOutcome>,
}

/// The same fields as `InstructionDocument`; lines stay text, so that their number is bounded before memory is spent
/// on them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines<'a> {
    format: String,
    case: String,
    #[serde(default, deserialize_with = "truth")]
    automated: bool,
    #[serde(default)]
    on_behalf_of: Option<String>,
    #[serde(borrow, deserialize_with = "at_most_so_many")]
    items: Vec<&'a RawValue>,
}

/// Reads an instruction document (probity.instruction/1).
///
/// # Errors
/// [`Malformed`] when the document as a whole is not one; a bad line only refuses itself. Reasons are
/// [bounded](Malformed::bounded), whatever they quote.
pub fn read(bytes: &[u8]) -> Result<Instruction, Malformed> {
    read_whole(bytes).map_err(Malformed::bounded)
}

fn read_whole(bytes: &[u8]) -> Result<Instruction, Malformed> {
    let lines: Lines<'_> =
        serde_json::from_slice(bytes).map_err(|e| Malformed::new("instruction", e.to_string()))?;
    if lines.format != INSTRUCTION_FORMAT {
        return Err(Malformed::new(
            "format",
            format!("expected {INSTRUCTION_FORMAT}"),
        ));
    }
    if lines.items.is_empty() {
        return Err(Malformed::new("items", "there are none"));
    }
    let mut items: Vec<_> = lines.items.into_iter().map(read_line).collect();
    refuse_duplicates(&mut items);
    Ok(Instruction {
        case: CaseId::parse(&lines.case)?,
        automated: lines.automated,
        on_behalf_of: lines
            .on_behalf_of
            .as_deref()
            .map(PartyId::parse)
            .transpose()?,
        items,
    })
}

fn read_line(line: &RawValue) -> ItemOutcome {
    let item = parse_line(line.get())
        .and_then(Item::try_from)
        .and_then(refuse_empty)
        .and_then(refuse_overlong);
    match item {
        Ok(item) => ItemOutcome::Accepted(item),
        Err(refused) => ItemOutcome::Refused(refused.bounded()),
    }
}

fn parse_line(line: &str) -> Result<ItemDocument, Malformed> {
    match line.len() {
        0..=LINE_BYTES_MAX => {
            serde_json::from_str(line).map_err(|e| Malformed::new("item", e.to_string()))
        }
        bytes => Err(Malformed::new(
            "item",
            format!("{bytes} bytes long, at most {LINE_BYTES_MAX}"),
        )),
    }
}

fn refuse_empty(item: Item) -> Result<Item, Malformed> {
    match item.artifacts().iter().find(|a| a.size_bytes == 0) {
        Some(empty) => Err(Malformed::new(
            "artifact",
            format!("{}: empty artifact", empty.name),
        )),
        None => Ok(item),
    }
}

/// What could never become a record: better refused here than signed in vain.
fn refuse_overlong(item: Item) -> Result<Item, Malformed> {
    match item.record_bytes() {
        bytes if bytes > ITEM_RECORD_BYTES_MAX => Err(Malformed::new(
            "artifacts",
            format!(
                "names and digests come to {bytes} bytes in its record, at most {ITEM_RECORD_BYTES_MAX}"
            ),
        )),
        _ => Ok(item),
    }
}

/// The same artifacts twice are one capture, not two (W8).
fn refuse_duplicates(items: &mut [ItemOutcome]) {
    let mut first = HashMap::new();
    let mut duplicates = Vec::new();
    for (place, item) in items.iter().enumerate() {
        if let ItemOutcome::Accepted(item) = item {
            let earlier = *first.entry(item.identity()).or_insert(place);
            if earlier != place {
                duplicates.push((place, earlier));
            }
        }
    }
    for (place, earlier) in duplicates {
        if let Some(item) = items.get_mut(place) {
            let reason = format!("the same artifacts as item {earlier}");
            *item = ItemOutcome::Refused(Malformed::new("duplicate", reason));
        }
    }
}

impl Instruction {
    /// Every digest that an accepted line names, once.
    #[must_use]
    pub fn blobs(&self) -> BTreeSet<Sha3_256> {
        self.accepted()
            .flat_map(Item::artifacts)
            .map(|a| a.digests.sha3_256)
            .collect()
    }

    /// The lines not refused so far.
    pub fn accepted(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter_map(|outcome| match outcome {
            ItemOutcome::Accepted(item) => Some(item),
            ItemOutcome::Refused(_) => None,
        })
    }

    /// What its refusals take in memory, read and as they are stored: nothing that the length of the instruction says, for
    /// one byte is refused with a sentence.
    #[must_use]
    pub fn refusals_bytes(&self) -> u64 {
        const AROUND_BYTES: usize = 128;
        let kept = self.items.iter().map(|outcome| match outcome {
            ItemOutcome::Accepted(_) => 0,
            ItemOutcome::Refused(m) => 2 * (m.reason.len() + AROUND_BYTES) as u64,
        });
        kept.sum()
    }

    /// Refuses the lines whose bytes are not stored or are not what the line says of them.
    pub fn refuse_absent(&mut self, stored: &HashMap<Sha3_256, Blob>) {
        for outcome in &mut self.items {
            let ItemOutcome::Accepted(item) = outcome else {
                continue;
            };
            if let Some(refused) = absent(item, stored) {
                *outcome = ItemOutcome::Refused(refused);
            }
        }
    }
}

fn absent(item: &Item, stored: &HashMap<Sha3_256, Blob>) -> Option<Malformed> {
    item.artifacts().iter().find_map(|a| {
        let reason = match stored.get(&a.digests.sha3_256) {
            None => format!("{}: its bytes are not uploaded", a.name),
            Some(blob) if blob.size_bytes != a.size_bytes => {
                format!(
                    "{}: {} bytes are stored, not {}",
                    a.name, blob.size_bytes, a.size_bytes
                )
            }
            Some(blob) if blob.sha256 != a.digests.sha256 => {
                format!(
                    "{}: the SHA-256 of the stored bytes is {}",
                    a.name, blob.sha256
                )
            }
            Some(_) => return None,
        };
        Some(Malformed::new("artifact", reason).bounded())
    })
}

/// What became of the lines when none was accepted, for the caller's problem document: the first few.
#[must_use]
pub fn every_refusal(items: &[ItemOutcome]) -> String {
    const SHOWN: usize = 20;
    let refusals = items
        .iter()
        .enumerate()
        .filter_map(|(place, item)| match item {
            ItemOutcome::Refused(m) => Some(format!("item {place}: {m}")),
            ItemOutcome::Accepted(_) => None,
        });
    let mut text = refusals.take(SHOWN).collect::<Vec<_>>().join("; ");
    if items.len() > SHOWN {
        text.push_str(&format!("; and {} more", items.len() - SHOWN));
    }
    text
}

/// As serde reads it, but for what it says of anything else: that would quote it, escaped to six times its length.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match <&RawValue>::deserialize(deserializer)?.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(de::Error::custom("automated: expected true or false")),
    }
}

fn at_most_so_many<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<&'a RawValue>, D::Error> {
    struct Bounded<'a>(core::marker::PhantomData<&'a ()>);

    impl<'de: 'a, 'a> Visitor<'de> for Bounded<'a> {
        type Value = Vec<&'a RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {ITEMS_PER_SUBMISSION_MAX} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(line) = lines.next_element::<&RawValue>()? {
                if items.len() == ITEMS_PER_SUBMISSION_MAX {
                    return Err(de::Error::custom(format!(
                        "more than {ITEMS_PER_SUBMISSION_MAX} items"
                    )));
                }
                items.push(line);
            }
            Ok(items)
        }

        /// As for [`truth`].
        fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(E::invalid_type(de::Unexpected::Other("a string"), &self))
        }
    }

    deserializer.deserialize_seq(Bounded(core::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_domain::{REASON_CHARS_MAX, Sha256};
    use serde_json::{Value, json};

    fn item(name: &str, byte: u8) -> Value {
        json!({"title": "t", "purpose": "neutral", "artifacts": [{
            "name": name, "media_type": "text/plain", "size_bytes": 3,
            "sha3_256": format!("{byte:02x}").repeat(32), "sha256": "22".repeat(32)
        }]})
    }

    fn instruction(items: Vec<Value>) -> Value {
        json!({"format": INSTRUCTION_FORMAT, "case": "c", "items": items})
    }

    fn read_json(value: &Value) -> Result<Instruction, Malformed> {
        read(value.to_string().as_bytes())
    }

    fn reasons(instruction: &Instruction) -> Vec<Option<&'static str>> {
        let reason = |outcome: &ItemOutcome| match outcome {
            ItemOutcome::Accepted(_) => None,
            ItemOutcome::Refused(m) => Some(m.what),
        };
        instruction.items.iter().map(reason).collect()
    }

    #[test]
    fn the_whole_is_strict() {
        let good = instruction(vec![item("a", 1)]);
        read_json(&good).unwrap();
        for (field, value) in [
            ("format", json!("probity.instruction/2")),
            ("case", json!("")),
            ("case", json!("a\nb")),
            ("on_behalf_of", json!("../x")),
            ("automated", json!("yes")),
            ("surplus", json!(1)),
            ("items", json!([])),
            ("items", json!({})),
        ] {
            let mut bad = good.clone();
            bad[field] = value.clone();
            assert!(read_json(&bad).is_err(), "{field} {value}");
        }
        for bad in ["", "{", "[]", "null"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        let trailing = format!("{good} {{}}");
        assert!(read(trailing.as_bytes()).is_err());
    }

    #[test]
    fn each_line_answers_for_itself() {
        let bad = |field: &str, value: Value| {
            let mut item = item("x", 9);
            item[field] = value;
            item
        };
        let bad_artifact = |field: &str, value: Value| {
            let mut item = item("x", 9);
            item["artifacts"][0][field] = value;
            item
        };
        let table = [
            (item("a", 1), None),
            (bad("surplus", json!(1)), Some("item")),
            (json!(7), Some("item")),
            (bad("title", json!("a\u{7}")), Some("title")),
            (bad("purpose", json!("fun")), Some("purpose")),
            (bad("artifacts", json!([])), Some("artifacts")),
            (
                bad("source_url", json!("file:///etc/passwd")),
                Some("source url"),
            ),
            (
                bad_artifact("name", json!("../../etc/passwd")),
                Some("artifact name"),
            ),
            (
                bad_artifact("name", json!("a\u{0}b")),
                Some("artifact name"),
            ),
            (
                bad_artifact("name", json!("a\u{202e}b")),
                Some("artifact name"),
            ),
            (bad_artifact("media_type", json!("x")), Some("media type")),
            (bad_artifact("sha3_256", json!("x")), Some("sha3-256")),
            (bad_artifact("size_bytes", json!(0)), Some("artifact")),
            (bad_artifact("size_bytes", json!(-1)), Some("item")),
            (bad_artifact("surplus", json!(1)), Some("item")),
            (item("b", 2), None),
            (item("a", 1), Some("duplicate")),
        ];
        let (items, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
        assert_eq!(reasons(&read_json(&instruction(items)).unwrap()), expected);
    }

    /// A record holds 64 KiB: names in a manifest are URIs, where 85 Chinese characters have 765 bytes.
    #[test]
    fn what_no_record_could_hold_is_refused() {
        let with_names = |character: &str, count: u8| {
            let mut long = item("x", 0);
            let artifact = |n: u8| {
                let mut artifact =
                    item(&format!("{}{n}", character.repeat(80)), n)["artifacts"][0].take();
                artifact["size_bytes"] = json!(4);
                artifact
            };
            long["artifacts"] = (0..count).map(artifact).collect();
            long
        };
        let items = vec![
            with_names("a", 64),
            with_names("证", 20),
            with_names("证", 64),
        ];
        let read = read_json(&instruction(items)).unwrap();
        assert_eq!(reasons(&read), [None, None, Some("artifacts")]);
        let why = every_refusal(&read.items);
        assert!(
            why.contains("come to") && why.contains("at most 45056"),
            "{why}"
        );
    }

    #[test]
    fn lines_are_bounded_before_they_cost_memory() {
        let many = format!(
            r#"{{"format":"{INSTRUCTION_FORMAT}","case":"c","items":[{}0]}}"#,
            "0,".repeat(10_000)
        );
        assert!(
            read(many.as_bytes())
                .unwrap_err()
                .reason
                .contains("more than 10000")
        );
    }

    /// Characters that JSON and Rust write as many: what is kept of them stays short, and fits what readers read.
    #[test]
    fn refusals_that_quote_a_stranger_are_bounded() {
        let odd = "\u{7f}\u{202e}证".repeat(20_000);
        let mut surplus = item("a", 1);
        surplus[odd.as_str()] = json!(1);
        let mut purpose = item("b", 2);
        purpose["title"] = json!([odd]);
        let mut size = item("c", 3);
        size["artifacts"][0]["size_bytes"] = json!(odd);
        let mut long = item("d", 4);
        long["title"] = json!("t".repeat(LINE_BYTES_MAX));
        let lines = vec![surplus, purpose, size, long, json!(odd), item("e", 5)];
        let read = read_json(&instruction(lines)).unwrap();
        let kept = read.items.iter().filter_map(|outcome| match outcome {
            ItemOutcome::Refused(m) => Some(m.reason.chars().count()),
            ItemOutcome::Accepted(_) => None,
        });
        let kept: Vec<_> = kept.collect();
        assert_eq!(kept.len(), 5, "{kept:?}");
        assert!(kept.iter().all(|n| *n <= REASON_CHARS_MAX), "{kept:?}");
        for field in ["automated", "items", "case", "on_behalf_of", odd.as_str()] {
            let mut whole = instruction(vec![item("a", 1)]);
            whole[field] = json!(odd);
            let refused = read_json(&whole).unwrap_err();
            assert!(refused.reason.chars().count() <= REASON_CHARS_MAX);
        }
    }

    /// The fuzzer goes on where this ends (docs/fuzzing.md).
    #[test]
    fn damaged_documents_read_the_same_or_not_at_all() {
        let good = instruction(vec![item("a", 1), item("b", 2)])
            .to_string()
            .into_bytes();
        let mut state = 0x9e37_79b9_u32;
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize % bound
        };
        let mut accepted = 0;
        for _ in 0..5_000 {
            let mut bytes = good.clone();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] ^= 1 << below(8),
                    1 => {
                        bytes.remove(at);
                    }
                    _ => bytes.insert(at, good[below(good.len())]),
                }
            }
            let Ok(read) = read(&bytes) else { continue };
            for item in read.accepted() {
                assert_eq!(&Item::try_from(ItemDocument::from(item)).unwrap(), item);
                accepted += 1;
            }
        }
        assert!(accepted > 0);
    }

    #[test]
    fn lines_about_other_bytes_are_refused() {
        let mut read = read_json(&instruction((1..=4).map(|n| item("a", n)).collect())).unwrap();
        let blob = |size_bytes, sha256| Blob {
            size_bytes,
            sha256: Sha256([sha256; 32]),
        };
        let stored = HashMap::from([
            (Sha3_256([1; 32]), blob(3, 0x22)),
            (Sha3_256([2; 32]), blob(4, 0x22)),
            (Sha3_256([3; 32]), blob(3, 0x23)),
        ]);
        read.refuse_absent(&stored);
        assert_eq!(
            reasons(&read),
            [None, Some("artifact"), Some("artifact"), Some("artifact")]
        );
        assert!(
            every_refusal(&read.items).contains("item 3: artifact: a: its bytes are not uploaded")
        );
    }
}

//! `certificate.html`: what a judge reads, Chinese first, then English, from the same facts.
//!
//! Pure. Every value is escaped; nothing here is a link, a script or fetched from anywhere. What is not established
//! is said to be so (W2, I1), and what a deposit does not prove stands beside what it proves (T4, A10).

mod rows;
mod text;

use probity_domain::Timestamp;
use probity_pki::statement::Statement;

use rows::{artifact_rows, fact_rows, limit_rows, proof_rows, review_rows};

/// The facts that do not stand in the statement.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub statement: &'a Statement,
    /// Subject of the event certificate, and its issuer, serial number (hexadecimal) and validity.
    pub signer: CertificateFacts,
    /// Time of the RFC 3161 token.
    pub stamped_at: Timestamp,
    pub time_stamp_unit: String,
    pub time_stamp_serial: String,
    /// Worst deviation the token admits, in microseconds.
    pub accuracy_us: Option<u64>,
    pub log: LogFacts,
    /// The deposit institution: subject of the seal's certificate.
    pub institution: String,
    pub sealed_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct CertificateFacts {
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

#[derive(Debug, Clone)]
pub struct LogFacts {
    pub origin: String,
    pub leaf_index: u64,
    pub tree_size: u64,
}

/// The two languages of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Chinese,
    English,
}

impl Language {
    /// The word in this language.
    pub(crate) const fn pick<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Chinese => zh,
            Self::English => en,
        }
    }
}

const STYLE: &str = "body{font-family:'Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei',sans-serif;\
max-width:60rem;margin:2rem auto;padding:0 1rem;line-height:1.5;color:#111}\
h1{border-bottom:3px solid #111}h2{margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{border:1px solid #999;padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
th{width:14rem;background:#f3f3f3}code{font-size:.85em}.not{background:#fff3d6}hr{margin:3rem 0}\
@media print{body{margin:0;max-width:none}}";

/// The whole page.
#[must_use]
pub fn certificate(facts: &Facts<'_>) -> String {
    let number = escape(&facts.statement.evidence_number.to_string());
    format!(
        "<!DOCTYPE html>\n<html lang=\"zh\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>存证证书 Certificate of deposit {number}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         {}\n<hr>\n{}\n</body>\n</html>\n",
        part(facts, Language::Chinese),
        part(facts, Language::English),
    )
}

fn part(facts: &Facts<'_>, language: Language) -> String {
    let section = |zh: &str, en: &str, rows: String| {
        format!(
            "<h2>{}</h2>\n<table>\n{rows}</table>\n",
            language.pick(zh, en)
        )
    };
    let tag = language.pick("zh", "en");
    format!(
        "<section lang=\"{tag}\">\n<h1>{}</h1>\n<p>{}</p>\n{}{}{}{}{}<p>{}</p>\n</section>",
        language.pick(
            "电子证据存证证书",
            "Certificate of deposit of electronic evidence"
        ),
        escape(language.pick(text::PREAMBLE_ZH, text::PREAMBLE_EN)),
        section("事实", "Facts", fact_rows(facts, language)),
        section("证据文件", "Files", artifact_rows(facts, language)),
        section("证明范围", "What is proved", proof_rows(facts, language)),
        section(
            "不证明的事项",
            "What is not proved",
            limit_rows(facts, language)
        ),
        section(
            "四项审查要点",
            "The four points of review",
            review_rows(facts, language)
        ),
        escape(language.pick(text::CHECK_ZH, text::CHECK_EN)),
    )
}

/// Text as HTML content: markup characters as entities; control characters and direction marks, which could make a
/// line read otherwise than it is, as visible code points.
pub(crate) fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                '\u{061c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}' => {
                    out.push_str(&format!("[U+{:04X}]", u32::from(c)));
                }
                c if c.is_control() => out.push_str(&format!("[U+{:04X}]", u32::from(c))),
                c => out.push(c),
            }
            out
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use probity_domain::{
        ArtifactName, ArtifactRole, CaseId, CredentialId, EvidenceId, MediaType, PartyId, Purpose,
        Sha3_256, Sha256, SubmissionId, TenantId,
    };
    use probity_pki::statement::{
        ActingAs, PartyKind, STATEMENT_FORMAT, StatedArtifact, Submitter,
    };

    use super::*;

    pub(crate) fn statement(title: &str) -> Statement {
        let at = Timestamp::from_unix_ms(1_795_000_000_123);
        let submission = SubmissionId::new(at, [7; 10]);
        Statement {
            format: STATEMENT_FORMAT.to_owned(),
            evidence_number: EvidenceId {
                submission,
                item: 3,
            },
            submission,
            instruction_sha256: Sha256([4; 32]),
            tenant: TenantId::parse("acme").unwrap(),
            submitter: Submitter {
                party: PartyId::parse("acme-ltd").unwrap(),
                kind: PartyKind::Organization,
                name: "Acme <b>有限公司</b>".to_owned(),
                identifier: None,
                verification: None,
            },
            acting_as: ActingAs {
                credential: CredentialId::new(at, [1; 10]),
                automated: true,
                on_behalf_of: None,
            },
            agreement: None,
            intent: None,
            submitter_signature: None,
            case: CaseId::parse("(2026)京0491民初12345号").unwrap(),
            title: title.to_owned(),
            purpose: Purpose::Infringement,
            source_url: Some("https://example.com/?a=1&b=<script>".to_owned()),
            declared_captured_at: None,
            received_at: at,
            artifacts: vec![StatedArtifact {
                name: ArtifactName::parse("page.html").unwrap(),
                media_type: MediaType::parse("text/html").unwrap(),
                role: ArtifactRole::Content,
                size_bytes: 5,
                sha3_256: Sha3_256([1; 32]),
                sha256: Sha256([2; 32]),
            }],
        }
    }

    fn facts(statement: &Statement) -> Facts<'_> {
        let at = statement.received_at;
        Facts {
            statement,
            signer: CertificateFacts {
                subject: "CN=Acme".into(),
                issuer: "CN=Issuing CA".into(),
                serial: "01ff".into(),
                not_before: at,
                not_after: at.plus_ms(1),
            },
            stamped_at: at.plus_ms(1_000),
            time_stamp_unit: "CN=TSA".into(),
            time_stamp_serial: "07".into(),
            accuracy_us: Some(500_000),
            log: LogFacts {
                origin: "log.example/1".into(),
                leaf_index: 41,
                tree_size: 42,
            },
            institution: "CN=Probity Deposit".into(),
            sealed_at: at.plus_ms(2_000),
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let stated =
            statement("\"><script>alert('x')</script> \u{202e}fdp.exe & <img src=x onerror=y>");
        let page = certificate(&facts(&stated));
        assert!(
            !page.contains("<script")
                && !page.contains("<img")
                && !page.contains("<b>")
                && !page.contains('\u{202e}')
        );
        assert!(
            page.contains("&lt;script&gt;alert(&#39;x&#39;)")
                && page.contains("[U+202E]fdp.exe &amp; ")
        );
        assert_eq!(
            page.matches("http").count(),
            page.matches("https://example.com").count() + page.matches("http-equiv").count()
        );
        const TAGS: [&str; 18] = [
            "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "section", "h1", "h2",
            "p", "table", "tr", "th", "td", "code", "br", "hr",
        ];
        for tag in page.split('<').skip(1) {
            let name = tag
                .trim_start_matches('/')
                .split([' ', '>'])
                .next()
                .unwrap();
            assert!(
                TAGS.contains(&name),
                "nothing is linked, loaded or run: {name}"
            );
        }
    }

    #[test]
    fn what_is_not_established_is_said() {
        let stated = statement("t");
        let page = certificate(&facts(&stated));
        // Identity verification, agreement, intent and the capture's process, in both languages.
        assert!(
            page.matches("not established").count() >= 4,
            "{}",
            page.matches("not established").count()
        );
        assert!(page.matches("未确认").count() >= 4);
    }

    #[test]
    fn both_languages_say_what_is_proved_and_what_not() {
        let stated = statement("t");
        let page = certificate(&facts(&stated));
        for words in [
            "What is proved",
            "What is not proved",
            "证明范围",
            "不证明的事项",
            "四项审查要点",
            "The four points of review",
            // T4, A10: the token proves the time of upload, not truth or origin.
            "not that its content is true",
            "不证明其内容真实",
            "not when the capture was made",
            "不证明取证发生的时间",
            "2026-11-18T",
            "PB1-",
            "log.example/1",
            "0101010101",
            "0202020202",
            "CN=Probity Deposit",
        ] {
            assert!(page.contains(words), "{words}");
        }
        let count = |what: &str| page.matches(what).count();
        assert_eq!(count("<tr>"), count("</tr>"));
        assert_eq!(
            (
                count("<section "),
                count("</section>"),
                count("<table>"),
                count("</table>")
            ),
            (2, 2, 10, 10)
        );
    }

    #[test]
    fn a_process_log_is_mentioned_when_there_is_one() {
        let mut stated = statement("t");
        let mut log = stated.artifacts[0].clone();
        log.name = ArtifactName::parse("process-log.json").unwrap();
        log.role = ArtifactRole::ProcessLog;
        stated.artifacts.push(log);
        let page = certificate(&facts(&stated));
        assert!(page.contains("a log of the capture&#39;s course is among the files"));
        assert!(page.contains("process-log.json"));
    }
}

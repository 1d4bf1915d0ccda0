//! The same words in English and Chinese.

use probity_pki::Error;
use probity_pki::path::PathError;
use serde::{Deserialize, Serialize};

use crate::words::Lang;

/// One sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub en: String,
    pub zh: String,
}

impl Text {
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self {
            en: en.into(),
            zh: zh.into(),
        }
    }

    /// Why bytes of one of the formats were refused. Details that only an engineer can use stay as the
    /// format's own standard words them.
    pub(crate) fn error(error: &Error) -> Self {
        let zh = match error {
            Error::Malformed { what, reason } => {
                format!("{}的格式不符合标准（{reason}）", noun(what))
            }
            Error::Unsupported { what, reason } => {
                format!("{}含有不被接受的算法、版本或选项（{reason}）", noun(what))
            }
            Error::NotVerified { what, reason } => {
                format!("{}验证不成立（{reason}）", noun(what))
            }
            Error::TooLarge { what, limit } => format!("{}超过上限 {limit}", noun(what)),
            Error::Path(path) => path_error(path),
            Error::Key(reason) => format!("密钥错误（{reason}）"),
            Error::Io(reason) => format!("读取失败（{reason}）"),
            other => format!("技术原因：{other}"),
        };
        Self::new(error.to_string(), zh)
    }

    /// [`Text::error`] with the name of what was read in front.
    pub(crate) fn error_in(name: &str, error: &Error) -> Self {
        let Self { en, zh } = Self::error(error);
        Self::new(format!("{name}: {en}"), format!("{name}：{zh}"))
    }

    /// Names the first few; a report is not a listing.
    pub(crate) fn join(texts: &[Self]) -> Self {
        const SHOWN: usize = 5;
        let shown = texts.iter().take(SHOWN);
        let mut en: Vec<&str> = shown.clone().map(|text| text.en.as_str()).collect();
        let mut zh: Vec<&str> = shown.map(|text| text.zh.as_str()).collect();
        let more = texts.len().saturating_sub(SHOWN);
        let (more_en, more_zh) = (format!("and {more} more"), format!("另有 {more} 项"));
        if more > 0 {
            en.push(&more_en);
            zh.push(&more_zh);
        }
        Self::new(en.join("; "), zh.join("；"))
    }

    #[must_use]
    pub fn get(&self, lang: Lang) -> &str {
        lang.pick(&self.en, &self.zh)
    }
}

fn path_error(error: &PathError) -> String {
    match error {
        PathError::Expired { subject } => format!("{subject} 的证书当时已过期"),
        PathError::NotYetValid { subject } => format!("{subject} 的证书当时尚未生效"),
        PathError::UnknownIssuer { subject } => {
            format!("{subject} 的证书不能追溯至可信的根证书")
        }
        PathError::BadSignature { subject } => {
            format!("{subject} 的证书链上的签名并非由可信签发者的密钥作出")
        }
        PathError::Revoked { subject, at, .. } => format!("{subject} 的证书已于 {at} 被吊销"),
        PathError::RevocationUnknown { subject } => {
            format!("缺少当时有效的、{subject} 证书的吊销列表")
        }
        PathError::WrongPurpose {
            subject, reason, ..
        } => format!("{subject} 的证书不得用于此用途（{reason}）"),
        PathError::Invalid { subject, reason } => {
            format!("{subject} 的证书不被接受（{reason}）")
        }
        other => format!("证书路径：{other}"),
    }
}

/// What the formats crate calls the things it reads.
fn noun(what: &str) -> &str {
    match what {
        "CMS signature" => "签名数据",
        "time-stamp token" => "时间戳",
        "certificate" => "证书",
        "certificate extension" => "证书扩展项",
        "certificate revocation list" => "证书吊销列表",
        "OCSP response" => "OCSP 响应",
        "certificates of an OCSP response" => "OCSP 响应中的证书",
        "container" => "证据包容器",
        "manifest" => "清单",
        "statement" => "声明",
        "inclusion proof" => "日志收录证明",
        "checkpoint" => "日志检查点",
        "storage attestation" => "保管证明",
        "signed note" => "签名文本",
        "signature" => "签名",
        "public key" => "公钥",
        "hash algorithm" => "摘要算法",
        "signature algorithm" => "签名算法",
        "number of members" => "文件数量",
        "compression ratio" => "压缩比",
        "unpacked size" => "解压后总大小",
        "member read into memory" => "需整体读取的文件",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut() {
        let texts: Vec<Text> = (0..7)
            .map(|n| Text::new(format!("e{n}"), format!("中{n}")))
            .collect();
        let joined = Text::join(&texts);
        assert_eq!(joined.en, "e0; e1; e2; e3; e4; and 2 more");
        assert!(joined.zh.ends_with("另有 2 项"));
    }

    #[test]
    fn errors_in_both_languages() {
        let path = PathError::RevocationUnknown {
            subject: "CN=A".to_owned(),
        };
        let text = Text::error(&path.into());
        assert!(text.en.contains("no revocation list") && text.zh.contains("吊销列表"));
    }
}

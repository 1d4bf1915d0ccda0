//! A line for each term of the trade that stands on a page.

use crate::words::Lang;

/// How a term is recognised on a page, and what it means. A term counts wherever its first word-form
/// appears, in upper or lower case.
struct Entry {
    en: &'static str,
    zh: &'static str,
    means_en: &'static str,
    means_zh: &'static str,
}

const ENTRIES: [Entry; 14] = [
    Entry {
        en: "certificate",
        zh: "证书",
        means_en: "an electronic document in which an authority vouches whose key a signature was made with",
        means_zh: "由权威机构签发、证明某签名密钥属于何人的电子文件",
    },
    Entry {
        en: "root",
        zh: "根证书",
        means_en: "a certificate the reader of this page decided to trust; all others are derived from it",
        means_zh: "验证者自行选定信任的证书，其他证书均由其派生",
    },
    Entry {
        en: "revoked",
        zh: "吊销",
        means_en: "declared no longer good by the authority that issued it",
        means_zh: "由签发机构宣告不再有效",
    },
    Entry {
        en: "revocation list",
        zh: "吊销列表",
        means_en: "a signed list of the certificates an authority has revoked",
        means_zh: "签发机构签名发布的已吊销证书名单",
    },
    Entry {
        en: "time-stamp",
        zh: "时间戳",
        means_en: "a signed statement by an independent clock that certain data existed at a certain time",
        means_zh: "由独立时钟签名作出的、证明数据在某一时间已存在的凭证",
    },
    Entry {
        en: "signature",
        zh: "签名",
        means_en: "a value only the holder of a secret key can make, and anybody can check; it breaks when one bit changes",
        means_zh: "仅持有私钥者可生成、任何人可核验的数值，数据改动一位即失效",
    },
    Entry {
        en: "manifest",
        zh: "清单",
        means_en: "the list of all files in the package with their digests",
        means_zh: "证据包内全部文件及其摘要的列表",
    },
    Entry {
        en: "digest",
        zh: "摘要",
        means_en: "a short number computed from a file; no two different files are known to share one",
        means_zh: "由文件计算得出的短数值，未知有不同文件具有相同摘要",
    },
    Entry {
        en: "SHA3-256",
        zh: "SHA3-256",
        means_en: "the international standard by which digests are computed here",
        means_zh: "此处计算摘要所用的国际标准算法",
    },
    Entry {
        en: "log",
        zh: "日志",
        means_en: "a public register to which entries are only ever added; removing or changing one would be seen",
        means_zh: "只增不减的公开登记簿，删除或更改任何一条均会被发现",
    },
    Entry {
        en: "replica",
        zh: "副本",
        means_en: "a second copy of what is stored, at another site",
        means_zh: "保存于另一地点的另一份存储内容",
    },
    Entry {
        en: "seal",
        zh: "封签",
        means_en: "the platform's signature over the whole package when it was delivered",
        means_zh: "平台在送达时对整个证据包所作的签名",
    },
    Entry {
        en: "one-time code",
        zh: "验证码",
        means_en: "a code sent to the registered person, good for one instruction alone",
        means_zh: "发送给登记人、仅对一次指令有效的代码",
    },
    Entry {
        en: "receipt",
        zh: "回执",
        means_en: "the court's signed confirmation of what it received, and when",
        means_zh: "法院签名出具的收到何物、何时收到的确认",
    },
];

/// Terms and meanings for what stands on the page, in the order of the list.
pub fn of(page: &str, lang: Lang) -> Vec<(&'static str, &'static str)> {
    let page = page.to_lowercase();
    ENTRIES
        .iter()
        .filter(|entry| appears(&page, &lang.pick(entry.en, entry.zh).to_lowercase()))
        .map(|entry| {
            (
                lang.pick(entry.en, entry.zh),
                lang.pick(entry.means_en, entry.means_zh),
            )
        })
        .collect()
}

/// At the beginning of a word: "log" is in "logs", not in "catalogue". Chinese has no words to begin.
fn appears(page: &str, term: &str) -> bool {
    page.match_indices(term).any(|(at, _)| {
        let before = page.get(..at).and_then(|text| text.chars().next_back());
        !term.is_ascii() || before.is_none_or(|c| !c.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_there_is_explained() {
        let terms = |page, lang| {
            let found = of(page, lang).into_iter();
            found.map(|(term, _)| term).collect::<Vec<_>>()
        };
        assert_eq!(terms("A catalogue of Logs", Lang::English), ["log"]);
        assert_eq!(terms("catalogue", Lang::English), [""; 0]);
        assert_eq!(terms("未作签名", Lang::Chinese), ["签名"]);
    }
}

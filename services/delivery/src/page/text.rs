//! Fixed wording. Statutes are not named here: they are renumbered, and which apply is the court's to say.

pub const PREAMBLE_ZH: &str = "本证书随证据包一并签封。证据包内的签名、时间戳和日志证明才是证明材料；本页仅为便于阅读的说明，\
与之不符时以签名材料为准。";
pub const PREAMBLE_EN: &str = "This certificate is sealed into the evidence package. The proof is in the package's \
signatures, time-stamp and log proof; this page explains them, and where it differs they prevail.";

pub const CHECK_ZH: &str = "验证方法：证据包为标准 ASiC-E 容器（ZIP）。任何人可离线使用 probity verify 或 OpenSSL 等独立工具，\
以公开的根证书和日志公钥核验，无需信任或联系本平台。";
pub const CHECK_EN: &str = "How to check: the package is a standard ASiC-E container (ZIP). Anybody can verify it \
offline with probity verify, or with OpenSSL and other independent tools, from the published root certificate and log \
key, without trusting or asking this platform.";

/// What a deposit proves: (Chinese, English) heading and sentence.
pub const PROVED: [(&str, &str, &str, &str); 4] = [
    (
        "存在",
        "Existence",
        "上列文件最迟在时间戳所载时间已经存在，其摘要如上。",
        "The files listed existed, with these digests, no later than the time in the time-stamp.",
    ),
    (
        "完整性",
        "Integrity",
        "自该时间起文件未被改动：任何一个字节的改变都会使摘要、签名和日志证明不再相符。",
        "They have not been changed since: a change of a single byte breaks digest, signature and log proof.",
    ),
    (
        "提交者",
        "Submitter",
        "事件证书绑定上列提交者与本次指令；其身份核验程度如上所述。",
        "The event certificate binds the submitter named above to this one instruction; how far the identity was \
         verified is said above.",
    ),
    (
        "登记",
        "Registration",
        "存证记录已写入只可追加的公开日志；事后插入、删除或改写均可被发现。",
        "The record is in an append-only log that anybody can audit; later insertion, removal or alteration shows.",
    ),
];

/// What it does not prove.
pub const NOT_PROVED: [(&str, &str, &str, &str); 4] = [
    (
        "内容真实性",
        "Truth",
        "时间戳证明文件在该时间存在，不证明其内容真实。",
        "The time-stamp proves that a file existed at that time, not that its content is true.",
    ),
    (
        "来源",
        "Origin",
        "来源网址由提交者声明，平台未观察取证过程。",
        "The source address is the submitter's declaration; the platform did not observe the capture.",
    ),
    (
        "取证时间",
        "Time of capture",
        "所证明的是提交（上传）时间，不证明取证发生的时间；所列取证时间为提交者声明。",
        "What is proved is the time of submission (upload), not when the capture was made; a capture time listed \
         above is the submitter's declaration.",
    ),
    (
        "法律性质",
        "Legal nature",
        "本证书不就权利归属、侵权与否或法律后果作任何认定。",
        "Nothing is decided here about ownership, infringement or legal consequences.",
    ),
];

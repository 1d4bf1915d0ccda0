#!/usr/bin/env python3
"""Writes the sample captures in samples/, the same bytes every time.

Every file directly in samples/ is a capture of one artifact; every folder is one capture of several.
People, firms, marks and addresses are invented (RFC 2606 names, RFC 5737 addresses).
"""

import hashlib
import json
import pathlib
import struct
import zlib

OUT = pathlib.Path(__file__).resolve().parent.parent / "samples"
TOOL = {"name": "capture-worker", "version": "3.2.0", "browser": "Chromium 131 (headless)"}

# 3 x 5 dots, one digit a row.
FONT = {
    "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553",
    "H": "55755", "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "57775",
    "O": "25552", "P": "65644", "Q": "25563", "R": "65655", "S": "34216", "T": "72222", "U": "55557",
    "V": "55552", "W": "55775", "X": "55255", "Y": "55222", "Z": "71247", "0": "75557", "1": "26227",
    "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757", "7": "71111", "8": "75757",
    "9": "75717", ".": "00002", ":": "02020", "/": "11244", "-": "00700", " ": "00000",
}


class Picture:
    def __init__(self, width, height, colour):
        self.width, self.height = width, height
        self.rows = [bytearray(bytes(colour) * width) for _ in range(height)]

    def box(self, x, y, width, height, colour):
        for row in self.rows[y : y + height]:
            row[3 * x : 3 * (x + width)] = bytes(colour) * width

    def text(self, x, y, words, colour, dot=2):
        for place, letter in enumerate(words.upper()):
            for down, bits in enumerate(FONT[letter]):
                for right in range(3):
                    if int(bits) >> (2 - right) & 1:
                        self.box(x + (4 * place + right) * dot, y + down * dot, dot, dot, colour)

    def png(self):
        def chunk(kind, body):
            check = zlib.crc32(kind + body)
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        pixels = b"".join(b"\0" + bytes(row) for row in self.rows)
        return (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
        )


def write(name, content):
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def process_log(folder, url, address, start, files):
    """The course of a capture in the order the courts ask for: clean, connect, visit, save."""
    steps = [
        ("environment", "isolated worker started from image sha256:7d1c…; memory only, no user profile"),
        ("clean_check", "ClamAV 1.4.1, definitions of the day: 0 findings in 18,412 files"),
        ("network_check", "no proxy; hosts file as shipped; resolver 192.0.2.53; route to target public"),
        ("resolve", f"{url.split('/')[2]} -> {address}"),
        ("visit", f"GET {url} -> 200, TLS 1.3, certificate names match"),
        ("save", f"{len(files)} files written"),
    ]
    log = {
        "tool": TOOL,
        "mode": "unattended",
        "target": url,
        "clock": {"source": "NTP, 4 servers", "offset_ms": 3},
        "steps": [
            {"seq": seq, "step": step, "at": f"2026-11-20T{start}:{4 * seq:02d}.000Z", "result": result}
            for seq, (step, result) in enumerate(steps, 1)
        ],
        "files": [
            {"name": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            for name, body in files.items()
        ],
    }
    for name, body in files.items():
        write(f"{folder}/{name}", body)
    write(f"{folder}/process-log.json", json.dumps(log, ensure_ascii=False, indent=2) + "\n")


PAGE = """<!doctype html>
<html lang="zh">
<head><meta charset="utf-8"><title>北极星保温杯 500ml 正品特价 - 好货店</title></head>
<body>
<header><a href="/">好货店</a> · 店铺：海风日用百货</header>
<main>
  <h1>北极星 POLARIS 保温杯 500ml 不锈钢 正品特价</h1>
  <p class="price">¥ 29.90 <del>¥ 168.00</del></p>
  <p>月销 4,812 件 · 库存 1,203 件 · 发货地：示例市</p>
  <img src="/img/polaris-500.png" alt="杯身印有 POLARIS 星形标志">
  <section><h2>评价</h2>
    <ul><li>a***7：标志掉色，和专柜的不一样。</li><li>m***2：便宜，先用着。</li></ul>
  </section>
</main>
</body>
</html>
"""


def shop_screenshot():
    picture = Picture(480, 320, (255, 255, 255))
    picture.box(0, 0, 480, 28, (40, 44, 52))
    picture.text(10, 9, "https://shop.example/item/48120", (220, 220, 220))
    picture.box(20, 48, 180, 220, (226, 232, 240))
    picture.box(80, 78, 60, 160, (71, 110, 150))
    picture.text(86, 150, "POLARIS", (255, 255, 255))
    picture.text(220, 56, "POLARIS BOTTLE 500ML", (20, 20, 20), 3)
    picture.text(220, 92, "29.90", (200, 30, 30), 6)
    picture.text(220, 140, "SOLD THIS MONTH: 4812", (90, 90, 90))
    picture.text(220, 160, "SELLER: HAIFENG DAILY GOODS", (90, 90, 90))
    picture.box(220, 190, 120, 32, (230, 80, 20))
    picture.text(248, 200, "BUY NOW", (255, 255, 255))
    picture.text(20, 296, "2026-11-20 08:12:24", (120, 120, 120))
    return picture.png()


def video_frame():
    picture = Picture(426, 240, (12, 14, 20))
    picture.box(0, 40, 426, 150, (58, 78, 110))
    picture.box(150, 70, 126, 100, (190, 150, 90))
    picture.text(20, 14, "LIVE ROOM 7731", (240, 240, 240), 3)
    picture.text(20, 205, "FULL MOVIE - RIVER OF LANTERNS", (240, 200, 60))
    picture.text(330, 205, "01:02:47", (240, 240, 240))
    return picture.png()


def warc_record(kind, number, headers, block):
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:0193f4a0-0000-4000-8000-{number:012d}>",
        f"WARC-Date: 2026-11-20T09:30:{10 + number:02d}Z",
        f"WARC-Block-Digest: sha256:{hashlib.sha256(block).hexdigest()}",
        *headers,
        f"Content-Length: {len(block)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def warc():
    """ISO 28500: information, the page with its request, and one picture."""
    page = (
        b'<!doctype html><html lang="en"><title>Lantern photographs, free download</title>'
        b'<h1>600 lantern photographs</h1><img src="/p/0042.svg" alt="watermark removed"></html>\n'
    )
    picture = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="3"/></svg>\n'
    records = [
        warc_record("warcinfo", 1, ["Content-Type: application/warc-fields"],
                    b"software: capture-worker/3.2.0\r\nformat: WARC File Format 1.1\r\n")
    ]
    number = 2
    for path, media_type, body in [("/lanterns", "text/html", page), ("/p/0042.svg", "image/svg+xml", picture)]:
        target = f"WARC-Target-URI: http://photos.example{path}"
        request = f"GET {path} HTTP/1.1\r\nHost: photos.example\r\n\r\n".encode()
        answer = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        for kind, block in [("request", request), ("response", answer)]:
            about = [target, "WARC-IP-Address: 203.0.113.40", f"Content-Type: application/http; msgtype={kind}"]
            records.append(warc_record(kind, number, about, block))
            number += 1
    return b"".join(records)


CHAT = {
    "platform": "Huaxin Messenger",
    "conversation": "group 88 - dealers",
    "exported_at": "2026-11-19T03:20:11Z",
    "participants": [{"id": "u1", "name": "海风-老周"}, {"id": "u2", "name": "Buyer (trap purchase)"}],
    "messages": [
        {"seq": 1, "at": "2026-11-18T10:01:07Z", "from": "u2", "text": "这批 POLARIS 杯子有授权吗？"},
        {"seq": 2, "at": "2026-11-18T10:02:55Z", "from": "u1", "text": "没有，厂里自己印的标，所以才这个价 😅"},
        {"seq": 3, "at": "2026-11-18T10:03:20Z", "from": "u2", "text": "能走多少？"},
        {"seq": 4, "at": "2026-11-18T10:04:02Z", "from": "u1", "text": "一个月四五千个没问题。"},
    ],
}

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200" viewBox="-100 -100 200 200">
  <title>POLARIS star, as filed on 2019-05-06</title>
  <circle r="96" fill="#0b2a4a"/>
  <path d="M0-80 14-14 80 0 14 14 0 80-14 14-80 0-14-14Z" fill="#f4d35e"/>
</svg>
"""

ARTICLE = """河灯 第三章

水面上的灯一盏一盏远了，她才想起没有许愿。

Copied without permission at https://reader.example/book/5521/3 on 2026-11-20, page 1 of 14.
Author of the original: Lin Qiao (pen name). First published 2021-03-09.
"""

PRICES = """date,item,seller,unit_price_cny,sold
2026-10-31,POLARIS bottle 500ml,Haifeng Daily Goods,31.50,3977
2026-11-10,POLARIS bottle 500ml,Haifeng Daily Goods,29.90,4402
2026-11-20,POLARIS bottle 500ml,Haifeng Daily Goods,29.90,4812
"""

MAIL = """From: "Haifeng Daily Goods" <service@haifeng.example>\r
To: rights@polaris.example\r
Subject: =?utf-8?B?UmU6IOWBnOatouS+teadg+mAmuefpeWHvQ==?=\r
Date: Thu, 19 Nov 2026 17:45:03 +0800\r
Message-ID: <20261119094503.7F1A@haifeng.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
我们收到了通知，但不认为这是侵权。商品会继续销售。\r
"""

THREAD = """<!doctype html>
<html lang="zh"><meta charset="utf-8"><title>求《河灯》全集资源</title>
<article><h1>求《河灯》全集资源</h1>
<p id="1"><b>楼主</b> 2026-11-12：有人有吗？</p>
<p id="2"><b>灯下黑</b> 2026-11-12：网盘 https://pan.example/s/9fK2，提取码 a1b2，全网最全。</p>
<p id="3"><b>路人</b> 2026-11-13：已转存，谢谢！</p>
</article></html>
"""


def main():
    page = PAGE.encode()
    process_log("shop-listing", "https://shop.example/item/48120", "198.51.100.23", "08:12",
                {"page.html": page, "screenshot.png": shop_screenshot()})
    process_log("photo-archive", "http://photos.example/lanterns", "203.0.113.40", "09:30",
                {"photos.example.warc": warc()})
    chat = json.dumps(CHAT, ensure_ascii=False, indent=2).encode() + b"\n"
    process_log("chat-export", "https://im.example/export/88", "192.0.2.77", "03:20", {"messages.json": chat})
    process_log("论坛帖子", "https://bbs.example/t/20261112", "198.51.100.9", "10:05",
                {"帖子.html": THREAD.encode()})
    write("article.txt", ARTICLE)
    write("logo.svg", LOGO)
    write("live-room.png", video_frame())
    write("prices.csv", PRICES)
    write("reply.eml", MAIL)


if __name__ == "__main__":
    main()

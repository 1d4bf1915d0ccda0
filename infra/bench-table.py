"""bench-table.py rate DIR PERCENT BATCH_SIZE: batches a second that are PERCENT of the saturation measured.
bench-table.py table DIR PROFILE BATCHES BATCH_SIZE RATE_BATCH_SIZE SIZE_BYTES: what bench.sh left in DIR, as Markdown.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

# Requests that change the store, by MinIO's names.
WRITES = re.compile(r"^(Put|Copy|New|Complete|Abort|Delete|Post)")


def report(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def writes(folder, name):
    counted = re.findall(r'^minio_api_requests_total\{name="(\w+)".*\} (\d+)$', (folder / name).read_text(), re.M)
    return sum(int(count) for request, count in counted if WRITES.match(request))


def peaks(folder):
    """Peak resident memory of each process that bench.sh started, MiB."""
    for pid in sorted((folder / "pid").iterdir()):
        status = pathlib.Path(f"/proc/{pid.read_text().strip()}/status")
        if status.exists():
            kib = re.search(r"^VmHWM:\s+(\d+)", status.read_text(), re.M).group(1)
            yield pid.name, int(kib) // 1024


def machine():
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M).group(1)
    return f"{os.cpu_count()} cores ({cpu.group(1) if cpu else 'unknown'}), {int(memory) // 1024 // 1024} GiB of memory"


def printed(rows):
    for place, row in enumerate(rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")
        if place == 0:
            print("|" + " --- |" * len(row))
    print()


def ms(latency, quantile):
    return f"{latency[quantile]} ms"


def table(folder, profile, batches, batch_size, rate_batch_size, size_bytes):
    floor, again, run = (report(folder, name) for name in ("floor", "floor-again", "saturation"))
    mean = (floor["per_second"] + again["per_second"]) / 2
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"Commit {commit}, {profile} build; {machine()}; all roles, nats-server, redis-server, MinIO and the generator on it.\n")
    per_evidence = (writes(folder, "requests-after") - writes(folder, "requests-before")) / run["captures"]
    printed([
        ("what", "figure"),
        (f"floor before and after: {batches} × {batch_size} captures of {size_bytes} bytes", f"{floor['per_second']:.0f}/s, {again['per_second']:.0f}/s"),
        ("deposits, all batches at once", f"{run['per_second']:.0f}/s"),
        ("ratio to the floor", f"{run['per_second'] / mean:.2f}"),
        (f"batch of {batch_size}: planned start to accepted", f"p50 {ms(run['planned_to_accepted_per_batch'], 'p50_ms')}, p99 {ms(run['planned_to_accepted_per_batch'], 'p99_ms')}"),
        (f"batch of {batch_size}: planned start to deposited", f"p50 {ms(run['planned_to_deposited_per_batch'], 'p50_ms')}, p99 {ms(run['planned_to_deposited_per_batch'], 'p99_ms')}"),
        ("S3 requests that write, per evidence", f"{per_evidence:.2f}"),
    ])
    rates = [("load, instructions of " + rate_batch_size, "captures/s planned", "reached", "to accepted p50", "p99",
              "to deposited p50", "p99", "accepted to deposited p99")]
    for name in ("rate-50", "rate-80", "rate-saturation"):
        at = report(folder, name)
        accepted, deposited, between = (at[f"{span}_per_batch"] for span in ("planned_to_accepted", "planned_to_deposited", "accepted_to_deposited"))
        share = name.removeprefix("rate-")
        rates.append((f"{share} % of saturation" if share.isdigit() else "all at once",
                      f"{at['planned_per_second']:.0f}" if share.isdigit() else "",
                      f"{at['per_second']:.0f}", ms(accepted, "p50_ms"), ms(accepted, "p99_ms"),
                      ms(deposited, "p50_ms"), ms(deposited, "p99_ms"), ms(between, "p99_ms")))
    printed(rates)
    peak, over = report(folder, "rate-saturation"), report(folder, "rate-200")
    refusals = over["request_to_refused_per_batch"]
    printed([
        ("2 × saturation, instructions of " + rate_batch_size, "figure"),
        ("captures/s planned", f"{over['planned_per_second']:.0f}"),
        ("deposited, until the log held all that was accepted", f"{over['per_second']:.0f}/s"),
        ("of the peak (all at once)", f"{100 * over['per_second'] / peak['per_second']:.0f} %"),
        ("instructions accepted and refused", f"{over['batches'] - refusals['count']}, {refusals['count']}"),
        ("request to refusal", f"p50 {ms(refusals, 'p50_ms')}, p99 {ms(refusals, 'p99_ms')}, most {ms(refusals, 'max_ms')}"),
    ])
    printed([("process", "peak memory"), *((name, f"{mib} MiB") for name, mib in peaks(folder))])
    print("Latencies count from planned start. A deposit is noticed within 50 ms of its becoming visible.")


def rate(folder, percent, batch_size):
    print(f"{report(folder, 'rate-saturation')['per_second'] * int(percent) / 100 / int(batch_size):.4f}")


command, folder, *rest = sys.argv[1:]
{"rate": rate, "table": table}[command](pathlib.Path(folder), *rest)

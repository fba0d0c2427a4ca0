#!/usr/bin/env python3
"""Writes the golden texts beside this file, from the shapes of the design page (see README.md)."""
import base64, hashlib, json, pathlib, struct, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = pathlib.Path(__file__).parent
FILES = {}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def b64(data): return base64.b64encode(data).decode()
def sha(data): return hashlib.sha256(data).hexdigest()
def line(value): return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
def canonical(value): return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
def put(name, text): FILES[name] = text if isinstance(text, bytes) else text.encode()


def crockford(data, characters):
    bits = "".join(f"{byte:08b}" for byte in data) + "0" * 8
    return "".join(CROCKFORD[int(bits[5 * i:5 * i + 5], 2)] for i in range(characters))


def groups(text): return "-".join(text[i:i + 4] for i in range(0, len(text), 4))


BOX, NODE, CODE = ("3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d", "b2a1c0d9-e8f7-4655-8443-322110ffeedd",
                   "0e1d2c3b-4a59-4867-b706-f5e4d3c2b1a0")
TIME, LATER = "2026-03-03T12:00:00Z", "2026-03-03T12:00:05Z"
FINGERPRINT = bytes.fromhex("0eabd4460b6eb9ca345023dee2b778c790e54a1683b9659c0a57ae199090159b")
KEY = "key/" + FINGERPRINT.hex()
seed = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
public = seed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def entries(parts):
    return [{"name": name, "size": len(parts[name]), "sha256": sha(parts[name])} for name in sorted(parts)]


def header(kind, grade, sequence, root, parts):
    return {"v": 1, "kind": kind, "box_id": BOX, "code_number": 2, "code_id": CODE, "sequence": sequence, "grade": grade,
            "root_sha256": sha(root), "words_key": b64(public), "agent_version": "0.1.0", "made_at": TIME,
            "parts": entries(parts)}


def ssh_string(data): return struct.pack(">I", len(data)) + data
def signer(roles, kind, *fields): return f"{roles} {kind} " + b64(b"".join(ssh_string(f) for f in (kind.encode(),) + fields))


root = b"age-encryption.org/v1\nnot a real root\n"
ceremony = {KEY: b'{"kdf":"not a real key part"}', "root.age": root}
update = {"pins/2": b'{"v":1,"not":"real"}', "update/1": b"not a real update \x00\xff"}
headers = {"ceremony": header("ceremony", "proven", 41, root, ceremony),
           "update": header("update", "sealed", 42, root, update)}
stored = {"v": 1, "number": 7, "received_at": LATER, "header": headers["ceremony"]}
directive = {"v": 1, "number": 3, "items": [
    {"source": "pbs", "group": "ct/101", "snapshot": "newest", "as": {}},
    {"source": "pbs", "namespace": "tenants/a", "group": "vm/102", "snapshot": TIME, "as": {"vmid": 9102, "storage": "local-zfs"}},
    {"source": "second", "group": "host/box1", "snapshot": "newest", "as": {"archive": "data.pxar", "to": "original"}},
    {"source": "second", "group": "host/box1", "snapshot": "until " + TIME, "as": {"archive": "etc.pxar", "to": "new-folder"}}]}

put("header-ceremony.json", line(headers["ceremony"]))
put("header-update.json", line(headers["update"]))
put("header-stored.json", line(stored))
put("directive.json", line(directive))

# What operators ask and are told of directives.
head = {"number": 3, "made_at": LATER, "origin": "operator", "by": "admin", "items": 4, "left_out": 0, "sha256": sha(line(directive).encode())}
def made(number, **by):
    return {"number": number, "made_at": TIME, "origin": "automatic"} | by | {"version": 7, "items": 1000, "left_out": 5, "sha256": sha(b"another")}


put("directive-edit.json", line({"v": 1, "based_on": 2, "automatic": False, "items": directive["items"]}))
put("directive-edit-auto.json", line({"v": 1, "based_on": 0, "automatic": True, "items": []}))
put("directive-stored.json", line({"v": 1, "head": head, "directive": directive}))
put("directive-list.json", line({"v": 1, "directives": [head, made(2), made(1, by="admin")]}))


def bundle(value): return "tenwords kit 1 - Never keep this beside the ten words.\n" + line(value) + "\n"
def coded(parts): return {name: b64(parts[name]) for name in sorted(parts)}


pushed = {"v": 1, "header": headers["ceremony"], "parts": coded(ceremony), "updates": []}
put("bundle-pushed.txt", bundle(pushed))
put("bundle-update.txt", bundle({"v": 1, "header": headers["update"], "parts": coded(update), "updates": []}))
put("bundle-kit.txt", bundle(pushed | {"updates": [{"header": headers["update"], "parts": coded(update)}], "directive": directive}))

# Tickets: 80 bits of secret, 80 bits of SHA-256 over the server CA's SPKI, 20 bits of check.
spki = b"not a real SPKI"
secret = bytes(range(0xA0, 0xAA))
body = secret + hashlib.sha256(spki).digest()[:10]
code = crockford(body, 32) + crockford(hashlib.sha256(body).digest(), 4)
hubs = ["hub.example", "hub.example:9443", "192.0.2.7:8443", "[2001:db8::7]", "[2001:db8::7]:9443"]
put("tickets.txt", "".join(f"tenwords1:{hub}:{code}\n{hub} {groups(code)}\n" for hub in hubs))
put("enroll-request.json", line({"v": 1, "ticket": crockford(secret, 16), "csr": b64(b"csr"), "hostname": "pve1"}))
put("enroll-reply.json", line({"v": 1, "box_id": BOX, "box_name": "Bakery Müller", "node_id": NODE,
                               "certificate": b64(b"certificate"), "server_ca": b64(b"server ca")}))
put("claim-request.json", line({"v": 1, "ticket": crockford(secret, 16), "csr": b64(b"csr")}))
nonce = bytes(range(64, 96))
claim = {"v": 1, "box_id": BOX, "box_name": "Bakery Müller", "node_id": NODE, "certificate": b64(b"certificate"),
         "server_ca": b64(b"server ca"), "rehearsal": False, "nonce": b64(nonce), "hub_time": TIME}
put("claim-reply.json", line(claim))
put("claim-reply-lost.json", line(claim | {"rehearsal": True, "lost_at": "2026-02-28T23:59:59Z"}))

# The proof, over LF-ended lines.
proofs = {}
for purpose in ("recover", "drill-words", "drill-archive"):
    text = "".join(part + "\n" for part in ("tenwords-words-v1", purpose, BOX, "7", b64(nonce), TIME, sha(spki)))
    put(f"prove-{purpose}.txt", text)
    proofs[purpose] = {"v": 1, "purpose": purpose, "version": 7, "time": TIME, "nonce": b64(nonce),
                       "signature": b64(seed.sign(text.encode()))}
    put(f"prove-{purpose}.json", line(proofs[purpose]))
# A drill: the proof for it, how long what took, and which archive came back.
put("drill-nonce-request.json", line({"v": 1}))
put("drill-nonce-reply.json", line({"v": 1, "nonce": b64(nonce), "hub_time": TIME}))
practised = {"source": "pbs", "snapshot": "ct/101/" + TIME, "archive": "root.pxar", "bytes": 1048576, "files": 42}
for purpose, phases, archive in (("drill-words", [], {}), ("drill-archive", [
        {"name": "open", "milliseconds": 4700}, {"name": "Rückweg", "milliseconds": 0}], {"archive": practised})):
    put(f"{purpose}.json", line({"v": 1, "proof": proofs[purpose], "phases": phases} | archive))
put("drill-reply.json", line({"v": 1, "recorded_at": LATER}))
put("prove-reply.json", line({"v": 1, "is_box": True, "revoked": 2, "certificate": b64(b"certificate")}))
put("prove-reply-rehearsed.json", line({"v": 1, "is_box": False, "revoked": 0}))
given = {"node_id": NODE, "is_box": True, "made_at": TIME, "expires_at": "2026-06-01T12:00:00Z"}
put("certificate-list.json", line({"v": 1, "certificates": [given, given | {"is_box": False, "revoked_at": LATER}]}))

put("add-box.json", line({"v": 1, "box_id": BOX, "name": "Bakery Müller"}))
put("add-box-rollout.json", line({"v": 1, "box_id": BOX, "name": "bakery-1", "customer": "Bakery Müller", "for_days": 30}))
put("change-box.json", line({"v": 1, "customer": "Bakery Müller"}))
put("retire.json", line({"v": 1, "reason": "sold", "keep_days": 400}))
put("revive.json", line({"v": 1, "reason": "it was another"}))
put("renew-request.json", line({"v": 1, "csr": b64(b"csr")}))
put("renew-reply.json", line({"v": 1, "certificate": b64(b"certificate"), "server_ca": b64(b"server ca"), "expires_at": "2026-06-01T12:00:00Z"}))
node = {"node_id": NODE, "hostname": "pve1", "enrolled_at": TIME, "certificate_expires_at": "2026-06-01T12:00:00Z"}
nodes = [node, node | {"node_id": CODE, "last_seen": LATER}]
put("node-list.json", line({"v": 1, "keeper": NODE, "nodes": nodes}))
put("keeper.json", line({"v": 1, "node_id": NODE}))
put("ticket-request.json", line({"v": 1, "for_days": 30, "end_others": True, "hostname": "pve2"}))
put("join.json", line({"v": 1, "hostname": "pve2"}))
put("call.json", line({"v": 1, "kind": "report"}))
put("called.json", line({"v": 1, "waiting": 3}))
put("call-reply.json", line({"v": 1, "number": 77, "kind": "report"}))
put("call-reply-none.json", line({"v": 1, "number": 77}))
put("ticket-reply.json", line({"v": 1, "box_id": BOX, "ticket": {
    "paste": f"tenwords1:{hubs[0]}:{code}", "typed": f"{hubs[0]} {groups(code)}"}, "expires_at": LATER}))
put("arm.json", line({"v": 1, "reason": "burnt", "minutes": 120, "rehearsal": False, "stolen": True,
                      "lost_at": TIME, "confirm_alive": False}))
window = {"reason": "burnt", "armed_at": TIME, "until": "2026-03-03T14:00:00Z", "rehearsal": False, "stolen": False}
summary = {"box_id": BOX, "name": "Bakery Müller", "added_at": TIME}
drill = {"at": LATER, "version": 7, "code_number": 2}
put("box-list.json", line({"v": 1, "boxes": [
    summary | {"versions": 0},
    summary | {"versions": 1, "drills": {"words": drill}},
    summary | {"enrolled_at": TIME, "last_seen": LATER, "versions": 7, "newest": stored, "recovery": window | {
        "disarmed_at": LATER, "claimed_at": LATER, "proven_at": LATER},
        "drills": {"words": drill, "archive": drill | practised}},
    summary | {"customer": "Müller KG", "enrolled_at": TIME, "versions": 0, "keeper": NODE, "nodes": nodes,
               "retired": {"at": LATER, "reason": "sold", "keep_days": 400}}]}))
put("version-list.json", line({"v": 1, "versions": [stored | {"number": 8, "header": headers["update"]}, stored]}))
put("push-reply.json", line({"v": 1, "number": 7, "received_at": LATER}))

# Problems: one line for each code. Titles and statuses are part of the contract.
problems = [
    ("bad_request", 400, "the request cannot be read"), ("box_is_alive", 409, "the box was heard of within the hour"),
    ("box_retired", 403, "the box was retired"),
    ("certificate_expired", 403, "the certificate has expired"), ("certificate_revoked", 403, "the certificate was revoked"),
    ("conflict", 409, "it exists already"), ("forbidden", 403, "not allowed"), ("internal", 500, "the hub failed"),
    ("method_not_allowed", 405, "no such method here"), ("not_found", 404, "not found"),
    ("outdated", 409, "it was changed meanwhile"),
    ("proof_refused", 403, "the proof of the ten words was refused"), ("rate_limited", 429, "too many"),
    ("ticket_refused", 403, "the ticket was refused"), ("too_large", 413, "too large"),
    ("unauthenticated", 401, "who is asking is not known"), ("unavailable", 503, "the hub cannot do this now")]
put("problems.jsonl", "".join(line({"type": f"urn:tenwords:problem:{code}", "title": title, "status": status, "code": code}
                                   | ({"detail": "why, and what to do now"} if index % 2 else {})) + "\n"
                              for index, (code, status, title) in enumerate(problems)))

# Operators: lines sorted, LF-ended; the hash is over that text.
point = b"\x04" + bytes(range(64))
signers = sorted([signer("operational", "ssh-ed25519", bytes(range(32))),
                  signer("recovery", "ssh-ed25519", bytes(range(32, 64))),
                  signer("operational,recovery", "sk-ssh-ed25519@openssh.com", bytes(range(64, 96)), b"ssh:"),
                  signer("operational", "ecdsa-sha2-nistp256", b"nistp256", point)])
text = "".join(entry + "\n" for entry in signers)
put("operators.txt", text)
put("operators.sha256", sha(text.encode()) + "\n")
statement = line({"v": 1, "generation": 2, "replaces": sha(text.encode()), "signers": signers[:2], "made_at": TIME}) + "\n"
put("pins-statement.json", statement)
put("pins.json", line({"v": 1, "statement": b64(statement.encode()), "signature":
                       "-----BEGIN SSH SIGNATURE-----\nnot a real one\n-----END SSH SIGNATURE-----\n"}))
put("pins.sha256", sha(FILES["pins.json"]) + "\n")

# The audit: each hash is over the canonical text of the row without `hash`.
rows, previous = [], "0" * 64
for seq, (actor, action, box, detail) in enumerate([
        ("operator:admin", "box.add", BOX, 'name "Bäckerei"\n\u0001\u007f/\\'), ("hub", "hub.start", None, "")], 1):
    row = {"seq": seq, "time": TIME, "actor": actor, "action": action} | ({"box_id": box} if box else {}) | {
        "detail": detail, "previous": previous}
    previous = sha(canonical(row).encode())
    rows.append(row | {"hash": previous})
put("audit.jsonl", "".join(line(row) + "\n" for row in rows))

codes = [("tenwords-check-v1", canonical({"box_id": BOX, "trust": {}})), ("tenwords-order-v1", "an order")]
put("code16.txt", "".join(f"{label}\t{text}\t{groups(crockford(hashlib.sha256((label + chr(10) + text).encode()).digest(), 16))}\n"
                          for label, text in codes))

# Orders: one of each op (restore-overwrite of a guest and of a path), one line ended by LF, and the codes of the texts.
def order(op, what, destroys, found, node=True, last=LATER):
    return line({"v": 1, "op": op, "box_id": BOX} | ({"node_id": NODE} if node else {}) | {"recovery": CODE} | what
                | {"destroys": destroys} | ({"found": sha(b"what lies there")} if found else {})
                | {"operators": {"generation": 2, "sha256": sha(text.encode())}, "challenge": bytes(range(16)).hex(),
                   "issued": TIME, "expires": last}) + "\n"


snapshot = {"source": "pbs", "namespace": "tenants/a", "snapshot": "ct/101/2026-03-03T02:30:07Z"}
list_sha256 = sha(b"a list of files")
orders = {
    "restore-guest": order("restore-overwrite", {"guest": 101, "snapshot": snapshot},
                           ['the container 101 "B\u00e4ckerei \\ web", 2 volumes on local-zfs', "its 3 snapshots"], True),
    "restore-path": order("restore-overwrite", {"path": "/srv/B\u00fccher", "snapshot": {
        "source": "second", "snapshot": "host/box1/" + LATER, "archive": "data.pxar"}}, ["the folder, 42 files"], True, node=False),
    "key-replace": order("key-replace", {"key_file": "/etc/pve/priv/storage/pbs.enc", "key": FINGERPRINT.hex(":")},
                         ["the key 00:01:02:03:04:05:06:07 in it"], True),
    "repoint": order("repoint", {"source": "pbs", "place": {
        "server": "2001:db8::7", "port": 8007, "datastore": "store", "namespace": "tenants/a",
        "certificate": bytes(range(32, 64)).hex(":")}}, ["that it is at pbs.example, as the escrow says"], False),
    "unsigned-snapshot": order("unsigned-snapshot", {"snapshot": snapshot | {"archive": "root.pxar"}, "list_sha256": list_sha256},
                               ["that nothing unsigned is restored"], False, last="9999-12-31T23:59:59Z")}
for name, said in orders.items(): put(f"order-{name}.txt", said)
put("order-codes.txt", "".join(
    f"{name}\t{groups(crockford(hashlib.sha256(b'tenwords-order-v1' + bytes([10]) + said.encode()).digest(), 16))}\n"
    for name, said in orders.items()))
put("order-signed.json", line({"v": 1, "order": b64(orders["repoint"].encode()), "signature":
                               "-----BEGIN SSH SIGNATURE-----\nnot a real one\n-----END SSH SIGNATURE-----\n"}))

# The inventory: each state, answer, selection and reason once.
def colons(data): return ":".join(f"{byte:02x}" for byte in data)


key, other, pin = colons(FINGERPRINT), colons(bytes(range(32))), colons(bytes(range(32, 64)))
store = {"server": "pbs.example", "port": 8007, "datastore": "store"}
newest = {"time": TIME, "size": 4096, "crypt": "encrypt", "fingerprint": key, "verified": "ok", "owner": "backup@pbs!box1"}
listing = {"room": {"available": 1, "total": 3, "used": 2}, "snapshots": 9, "plain": 4,
           "keys": [{"fingerprint": key, "snapshots": 3, "newest": LATER, "held": True},
                    {"fingerprint": other, "snapshots": 2, "newest": TIME, "held": False}], "keys_left_out": 1,
           "groups": [{"group": "ct/101", "count": 4, "protected": 1, "newest": newest},
                      {"group": "host/box1", "count": 1, "protected": 0, "newest": {"time": TIME, "crypt": "unknown", "verified": "never", "archives": ["etc.pxar", "srv.pxar"]}},
                      {"group": "vm/102", "count": 2, "protected": 0, "newest": newest | {"crypt": "mixed", "verified": "failed"}},
                      {"group": "vm/103", "count": 1, "protected": 0, "newest": newest | {"crypt": "sign-only", "verified": "unknown"}},
                      {"group": "vm/104", "count": 1, "protected": 0, "newest": {"time": TIME, "crypt": "none", "verified": "never"}}],
           "groups_left_out": 2}


def source(name, origin, state, answer, **more):
    entry = {"id": name, "origin": origin} | store | {"namespace": more.pop("namespace", None), "auth_id": "backup@pbs!box1",
             "certificate": more.pop("certificate", pin), "state": state} | more | {"answer": answer}
    return {name: value for name, value in entry.items() if value is not None}


def failed(reason): return {"failed": {"reason": reason, "text": "why"}}


guest = {"node": "pve1", "coverage": "none", "jobs": [], "excluded": []}
put("inventory.json", line({
    "v": 1, "made_at": TIME, "agent_version": "0.1.0", "client_version": "3.2.4", "node": "pve1",
    "sources": [source("pbs", "storage.cfg", "in-use", {"listed": listing}, namespace="tenants/a", key=key),
                source("plain", "storage.cfg", "unencrypted", failed("unreachable"), certificate=None),
                source("old", "storage.cfg", "not-used", "not-asked", why="disabled", key=other),
                source("lost", "storage.cfg", "broken", failed("not-authorised"), why="no key file"),
                source("second", "settings", "in-use", failed("certificate"), key=key)]
               + [source(f"s{index}", "settings", "in-use", failed(reason), key=key)
                  for index, reason in enumerate(("not-found", "client", "other"))],
    "jobs": [{"id": "backup-1", "enabled": True, "schedule": "mon..fri 02:30", "storage": "pbs", "node": "pve1",
              "selection": {"all-but": [104]}, "guests": 2},
             {"id": "backup-2", "enabled": False, "schedule": "21:00", "selection": {"listed": [102, 999]}, "guests": 1,
              "problem": "no guest 999"},
             {"id": "backup-3", "enabled": True, "schedule": "sun 01:00", "storage": "local", "selection": {"pool": "shop/web"}, "guests": 1},
             {"id": "vzdump.cron:4", "enabled": True, "schedule": "00:15", "selection": "nothing", "guests": 0}],
    "jobs_left_out": 1,
    "guests": [{"vmid": 101, "kind": "ct", "name": "Bäckerei\u202e"} | guest | {"coverage": "source", "jobs": ["backup-1"], "excluded": [
                   {"disk": "mp0", "volume": "local:101/x.raw", "why": "not-switched-on"}, {"disk": "mp1", "volume": "/srv", "why": "of-the-host"},
                   {"disk": "mp2", "volume": "", "why": "unreadable"}, {"disk": "unused0", "volume": "local:101/y.raw", "why": "unused"}]},
               {"vmid": 102, "kind": "vm", "node": "pve2", "template": True, "coverage": "elsewhere", "jobs": ["backup-3"], "excluded": [
                   {"disk": "scsi1", "volume": "local:102/x.raw", "why": "switched-off"},
                   {"disk": "efidisk0", "volume": "local:102/e.raw", "why": "no-ovmf"}]},
               {"vmid": 104, "kind": "vm"} | guest | {"problem": "not UTF-8"}],
    "guests_left_out": 3, "problems": ["user.cfg: no such file"]}))

# What of that the hub is told: names, ids, fingerprints, times and sizes of what is in use.
holdings = {"v": 1, "made_at": TIME, "sources": [
    {"id": "pbs", "namespace": "tenants/a", "answered": True, "groups": [
        {"group": "ct/101", "count": 4, "newest": TIME, "size": 4096, "key": key},
        {"group": "host/box1", "count": 1, "newest": TIME, "archives": ["etc.pxar", "srv.pxar"]},
        {"group": "vm/102", "count": 2, "newest": TIME, "size": 4096, "key": key},
        {"group": "vm/103", "count": 1, "newest": TIME, "size": 4096, "key": key},
        {"group": "vm/104", "count": 1, "newest": TIME}], "groups_left_out": 2}]
    + [{"id": name, "answered": False, "groups": []} for name in ("second", "s0", "s1", "s2")],
    "guests": [{"group": "ct/101", "name": "B\u00e4ckerei\u202e", "covered": True}, {"group": "vm/102", "covered": False},
               {"group": "vm/104", "covered": False}], "guests_left_out": 3}
put("inventory-of-hub.json", line(holdings))
put("inventory-reply.json", line({"v": 1, "version": 7, "received_at": LATER, "inventory": holdings}))
put("inventory-stored.json", line({"v": 1, "version": 7}))

# The update, signed by a box key as ssh-keygen -Y sign does it; its body is not a real one.
def armour(lines): return "\n".join(["-----BEGIN SSH SIGNATURE-----"] + lines + ["-----END SSH SIGNATURE-----"]) + "\n"


def sshsig(key, namespace, message):
    head = ssh_string(namespace.encode()) + ssh_string(b"") + ssh_string(b"sha512")
    public = ssh_string(b"ssh-ed25519") + ssh_string(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    signature = key.sign(b"SSHSIG" + head + ssh_string(hashlib.sha512(message).digest()))
    blob = b64(b"SSHSIG" + struct.pack(">I", 1) + ssh_string(public) + head
               + ssh_string(ssh_string(b"ssh-ed25519") + ssh_string(signature)))
    return armour([blob[i:i + 70] for i in range(0, len(blob), 70)])


box_key = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
sealed = b"age-encryption.org/v1\nnot a real body \x00\xff"
statement = line({"v": 1, "box_id": BOX, "code_id": CODE, "sequence": 1, "previous": sha(root), "root_sha256": sha(root),
                  "body_sha256": sha(sealed), "fingerprints": [other, key], "made_at": LATER})
put("update-statement.json", statement)
put("update.json", line({"v": 1, "statement": b64(statement.encode()),
                         "signature": sshsig(box_key, "tenwords-update-v1", statement.encode()), "body": b64(sealed)}))

# What travels about orders; the hub reads none of the texts.
asked = b'{"not":"an order that anybody reads"}\x00\xff'
not_signed = armour(["not a real one"])
shown = {"order": sha(asked), "box_id": BOX, "node_id": NODE, "text": b64(asked), "asked_at": TIME, "expires_at": LATER}
put("order-ask.json", line({"v": 1, "order": b64(asked), "expires_at": LATER}))
put("order-asked.json", line({"v": 1, "order": sha(asked)}))
put("order-answer.json", line({"v": 1, "signature": not_signed}))
put("order-answer-stored.json", line({"v": 1, "number": 7}))
put("order-answers.json", line({"v": 1, "answers": [{"number": 7, "order": sha(asked), "signature": not_signed},
                                                    {"number": 9, "order": sha(b""), "signature": ""}]}))
put("order-outcomes.jsonl", "".join(line({"v": 1, "outcome": outcome, "said": "as the box says: \u0001\u202e"}) + "\n"
                                    for outcome in ("refused", "used", "done", "failed", "withdrawn")))
put("order-list.json", line({"v": 1, "orders": [
    shown | {"state": "open", "answers": 0}, shown | {"state": "answered", "answers": 1},
    shown | {"state": "done", "answers": 2, "outcome": {"outcome": "done", "said": "as it was asked", "at": LATER}},
    shown | {"state": "withdrawn", "answers": 1, "outcome": {"outcome": "failed", "said": "", "at": LATER}},
    shown | {"state": "expired", "answers": 0}], "left_out": 3}))
put("pins-request.json", line({"v": 1, "pins": json.loads(FILES["pins.json"])}))
put("pins-list.json", line({"v": 1, "pins": [json.loads(FILES["pins.json"])] * 2}))

# A report: the keeper's with each word once, another node's without a look at the box.
machine = {"name": "node1", "agent_version": "0.1.0", "client_version": "3.2.4", "boot_id": "0f1e", "uptime": 7, "keeper": NODE}
said = {"id": "pbs", "state": "in-use", "in_escrow": True, "answered_at": TIME, "pruning": "cannot", "since": TIME}
snapshot = {"time": TIME, "crypt": "encrypt", "key": key, "verified": "ok", "signature": "good"}
guest = {"group": "ct/101", "name": "B\u00e4ckerei\u202e", "coverage": "source", "interval": 86400, "newest": snapshot, "since": TIME}
put("report.json", line({"v": 1, "made_at": LATER, "machine": machine, "observed": {
    "escrow": {"ceremony": 7, "newest": 8, "root_sha256": sha(root), "second_holder": "agrees"},
    "keys": [{"fingerprint": key, "in_use": True, "snapshots": 3, "held": True,
              "escrowed": {"grade": "proven", "since": TIME}, "since": TIME},
             {"fingerprint": other, "in_use": False, "snapshots": 0, "held": False, "since": TIME}],
    "sources": [said] + [said | more for more in (
        {"id": "broken", "state": "broken", "in_escrow": False, "pruning": "may"},
        {"id": "plain", "state": "unencrypted", "in_escrow": False, "pruning": "unknown"},
        {"id": "off", "state": "not-used", "in_escrow": False})],
    "servers_asked_at": TIME,
    "groups": [guest, {"group": "vm/102", "coverage": "none", "exempt": True, "since": TIME},
               {"group": "vm/103", "coverage": "elsewhere", "newest": snapshot | {
                   "crypt": "mixed", "verified": "failed", "signature": "refused"}, "since": TIME}],
    "groups_left_out": 1},
    "alarms": [{"code": "key-file-gone", "subject": "pbs", "since": TIME}, {"code": "of-tomorrow", "subject": "", "since": TIME}],
    "alarms_left_out": 2}))
put("report-node.json", line({"v": 1, "made_at": LATER, "machine": {k: machine[k] for k in (
    "name", "agent_version", "boot_id", "uptime")}, "alarms": []}))
reason = {"code": "snapshot-late", "state": "at-risk", "subjects": ["ct/101 B\u00e4ckerei\u202e"], "more": 3, "since": TIME,
          "what": "its newest snapshot is older than its job says", "remedy": "look at its backup job's last run in PVE"}
put("report-reply.json", line({"v": 1, "hub_time": LATER, "newest": 8, "readiness": {
    "state": "at-risk", "reasons": [reason], "notes": [reason | {"code": "of-tomorrow", "state": "ready"}]}}))

if "--check" in sys.argv:
    bad = [name for name, text in FILES.items() if (HERE / name).read_bytes() != text]
    strays = {p.name for p in HERE.iterdir()} - set(FILES) - {"make.py", "README.md"}
    sys.exit(f"not as made: {bad} {strays}" if bad or strays else 0)
for name, text in FILES.items():
    (HERE / name).write_bytes(text)

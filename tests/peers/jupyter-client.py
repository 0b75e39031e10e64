"""Drives a kernel by jupyter_client, as Jupyter's own programs do; run by tests/kernel/jupyter.test.ts.

usage: jupyter-client.py KERNEL FOLDER

Writes FOLDER/steps.json, {step: null or what was wrong}, and FOLDER/messages.jsonl, every message that came.
"""

import json
import os
import sys
import time
import traceback
from queue import Empty

from jupyter_client.manager import KernelManager

try:
    from jupyter_kernel_test.msgspec_v5 import validate_message
except ImportError:
    validate_message = None

name, folder = sys.argv[1:]
log = open(os.path.join(folder, "messages.jsonl"), "w")
steps = {}
manager = KernelManager(kernel_name=name)


def kept(channel, message):
    # Two schemas of the suite are not what the specification says: "abort" for "aborted", a number for `password`.
    odd = message["msg_type"] == "input_request" or message["content"].get("status") == "aborted"
    if validate_message and not odd:
        validate_message(message)
    parts = ("header", "parent_header", "metadata", "content")
    log.write(json.dumps({"channel": channel, **{part: message[part] for part in parts}}, default=str) + "\n")
    return message


def reply_to(request, channel="shell", timeout=30):
    get = client.get_shell_msg if channel == "shell" else client.get_control_msg
    end = time.monotonic() + timeout
    while True:
        message = kept(channel, get(timeout=max(0.01, end - time.monotonic())))
        if message["parent_header"].get("msg_id") == request:
            return message["content"]


def output_of(request, until=None, timeout=30):
    """The iopub messages of a request, to its idle or to the first for which `until` holds."""
    found = []
    end = time.monotonic() + timeout
    while True:
        message = kept("iopub", client.get_iopub_msg(timeout=max(0.01, end - time.monotonic())))
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle" and not until:
            return found
        found.append(message)
        if until and until(message):
            return found


def execute(code, **options):
    request = client.execute(code, **options)
    reply = reply_to(request)
    return reply, [(m["msg_type"], m["content"]) for m in output_of(request) if m["msg_type"] not in ("status", "execute_input")]


def result(code):
    reply, output = execute(code)
    assert reply["status"] == "ok", reply
    [(kind, content)] = output
    assert kind == "execute_result", output
    return content["data"]["text/plain"]


def step(function):
    try:
        function()
        steps[function.__name__] = None
    except Exception:
        steps[function.__name__] = traceback.format_exc()
    print(function.__name__, steps[function.__name__] or "ok", file=sys.stderr, flush=True)


def started():
    global client
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)


manager.start_kernel(cwd=folder)
started()


@step
def kernel_info():
    content = reply_to(client.kernel_info())
    assert content["status"] == "ok" and content["protocol_version"] == "5.4", content
    language = content["language_info"]
    assert language["name"] == "typescript" and language["version"].startswith("5."), language
    assert content["implementation"] and content["banner"] and content["help_links"], content


@step
def execute_in_order():
    request = client.execute("console.log('out'); console.error('err'); 1 + 1")
    assert reply_to(request)["execution_count"] == 1
    kinds = [m["msg_type"] for m in output_of(request)]
    assert kinds == ["status", "execute_input", "stream", "stream", "execute_result"], kinds


@step
def every_line_of_a_loop():
    reply, output = execute("for (let i = 0; i < 20000; i++) console.log(i);")
    text = "".join(content["text"] for kind, content in output if kind == "stream")
    assert text == "".join(f"{i}\n" for i in range(20000)), len(text)


@step
def error():
    reply, [(kind, content)] = execute("\nthrow new RangeError('too far');")
    assert reply["status"] == "error" and kind == "error", (reply, kind)
    for fields in (reply, content):
        assert (fields["ename"], fields["evalue"]) == ("RangeError", "too far"), fields
        assert "line 2" in "\n".join(fields["traceback"]), fields
    assert result("'the next cell runs'") == "'the next cell runs'"


@step
def cells_queued_behind_an_error():
    # The first must not end before the second has come.
    later = "await new Promise((go) => setTimeout(go, 500)); "
    failing, waiting = client.execute(later + "throw new Error('stop')"), client.execute("console.log('no')")
    assert reply_to(failing)["status"] == "error"
    assert reply_to(waiting)["status"] == "aborted"
    failing, waiting = client.execute(later + "throw new Error('go on')", stop_on_error=False), client.execute("1")
    assert reply_to(failing)["status"] == "error"
    assert reply_to(waiting)["status"] == "ok"


@step
def silent_store_history_user_expressions():
    before = execute("1")[0]["execution_count"]
    reply, output = execute("var quiet = 3; console.log('no'); quiet", silent=True)
    assert output == [], output
    reply, output = execute("quiet", store_history=False)
    assert output[0][0] == "execute_result", output
    reply, output = execute("", user_expressions={"good": "quiet + 1", "bad": "nowhere"})
    assert reply["execution_count"] == before + 1, (before, reply)
    assert reply["user_expressions"]["good"]["data"]["text/plain"] == "4", reply
    assert reply["user_expressions"]["bad"]["status"] == "error", reply


@step
def complete():
    execute("const fruits = ['apple'];")
    reply = reply_to(client.complete("fruits.fi"))
    assert {"fill", "filter", "find"} <= set(reply["matches"]), reply
    assert (reply["cursor_start"], reply["cursor_end"]) == (7, 9), reply
    # The cursor counts characters, of which one outside of the basic plane is two in JavaScript.
    reply = reply_to(client.complete("'\N{PARTY POPPER}'; fruits.fi"))
    assert (reply["cursor_start"], reply["cursor_end"]) == (12, 14), reply


@step
def inspect():
    reply = reply_to(client.inspect("Math.hypot"))
    assert reply["found"] and "hypot" in reply["data"]["text/plain"], reply
    assert not reply_to(client.inspect("   "))["found"]


@step
def is_complete():
    for code, status in (("1 + 1", "complete"), ("function f() {", "incomplete"), ("const x = )", "invalid")):
        reply = reply_to(client.is_complete(code))
        assert reply["status"] == status, (code, reply)


@step
def history():
    execute("'remember me'")
    reply = reply_to(client.history(raw=True, output=False, hist_access_type="tail", n=1))
    assert reply["history"][-1][2] == "'remember me'", reply


@step
def comm_info():
    assert reply_to(client.comm_info()) == {"status": "ok", "comms": {}}


@step
def stdin():
    request = client.execute("const name: string = await input('Who? '); 'I am ' + name", allow_stdin=True)
    question = kept("stdin", client.get_stdin_msg(timeout=30))
    assert question["msg_type"] == "input_request", question
    assert question["content"] == {"prompt": "Who? ", "password": False}, question
    client.input("Ada")
    assert reply_to(request)["status"] == "ok"
    assert [m["content"]["data"]["text/plain"] for m in output_of(request) if m["msg_type"] == "execute_result"] == ["'I am Ada'"]
    reply, output = execute("await input('Who? ')", allow_stdin=False)
    assert reply["status"] == "error", reply


@step
def display_and_update():
    reply, output = execute("import { newDisplay } from 'tslab';\nconst shown = newDisplay();\nshown.text('a');\nshown.text('b');")
    kinds = [kind for kind, _ in output]
    assert kinds == ["display_data", "update_display_data"], output
    assert output[0][1]["transient"]["display_id"] == output[1][1]["transient"]["display_id"], output


def interrupted(start, code):
    """Interrupts a cell that has printed, and says how long it took to end."""
    execute("var kept = 41; kept")
    request = client.execute(f"console.log('begun');\n{start}\n{code}")
    output_of(request, until=lambda m: m["msg_type"] == "stream")
    time.sleep(0.3)
    begun = time.monotonic()
    manager.interrupt_kernel()
    reply = reply_to(request)
    took = time.monotonic() - begun
    assert reply["status"] == "error", reply
    errors = [m["content"]["ename"] for m in output_of(request) if m["msg_type"] == "error"]
    assert len(errors) == 1, errors
    assert result("kept + 1") == "42"
    steps.setdefault("seconds", {})[f"{start} {code}".strip()] = round(took, 3)
    # What it left must not print any more.
    time.sleep(0.3)
    try:
        while True:
            late = kept("iopub", client.get_iopub_msg(timeout=0.1))
            assert late["msg_type"] != "stream", late["content"]
    except Empty:
        pass


@step
def interrupt_synchronous_loop():
    interrupted("", "while (true);")


@step
def interrupt_loop_after_await():
    interrupted("await null;", "while (true);")


@step
def interrupt_microtask_loop():
    interrupted("", "while (true) await null;")


@step
def interrupt_async_loop_that_prints():
    interrupted("", "for (let i = 0; ; i++) { await new Promise((next) => setTimeout(next, 20)); console.log(i); }")


@step
def interrupt_pending_promise():
    interrupted("", "await new Promise(() => {});")


@step
def exit_is_an_error_and_the_kernel_lives():
    request = client.execute("process.exit(3)")
    reply = reply_to(request)
    assert reply["status"] == "error" and "exit" in (reply["ename"] + reply["evalue"]), reply
    output_of(request)
    assert manager.is_alive()
    assert result("1 + 1") == "2"


@step
def restart():
    global client
    execute("const lost = 1;")
    client.stop_channels()
    manager.restart_kernel(now=False)
    started()
    reply, output = execute("lost")
    assert reply["status"] == "error", reply
    assert result("1 + 1") == "2"


@step
def shutdown():
    provisioner = manager.provisioner
    begun = time.monotonic()
    manager.shutdown_kernel(now=False)
    took = time.monotonic() - begun
    assert not manager.is_alive()
    assert took < 4, f"{took} s: it was killed"
    assert provisioner.process is None or provisioner.process.returncode == 0, provisioner.process.returncode


client.stop_channels()
manager.shutdown_kernel(now=True)
log.close()
with open(os.path.join(folder, "steps.json"), "w") as file:
    json.dump(steps, file)

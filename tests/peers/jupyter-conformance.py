"""Jupyter's own conformance suite for kernels, with samples in TypeScript; run by tests/kernel/jupyter.test.ts.

The kernel's name comes from WORKBOOK_TEST_KERNEL. The suite checks each message against its JSON schemas.
"""

import os
import unittest

import jupyter_kernel_test


class TypeScriptKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = os.environ["WORKBOOK_TEST_KERNEL"]
    language_name = "typescript"
    file_extension = ".ts"
    code_hello_world = "console.log('hello, world')"
    code_stderr = "console.error('a warning')"
    completion_samples = [
        {"text": "Math.hyp", "matches": {"hypot"}},
        {"text": "[1, 2].findInd", "matches": {"findIndex"}},
    ]
    complete_code_samples = ["const a = 1;", "function f(): number {\n  return 1;\n}", "1 + 1"]
    incomplete_code_samples = ["function f() {", "const text = `never", "[1, 2,", "if (true) {\n  1;\n"]
    invalid_code_samples = ["const x = )", "let let = 1 1;"]
    code_generate_error = "throw new RangeError('too far');"
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": "'a' + 'b'", "result": "'ab'"},
        {"code": "[3, 6 * 7]", "result": "[ 3, 42 ]"},
        {
            "code": "({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': '<b>x</b>', 'text/plain': 'x' }) })",
            "result": "<b>x</b>",
            "mime": "text/html",
        },
    ]
    code_display_data = [
        {"code": "import { display } from 'tslab';\ndisplay.html('<b>x</b>');", "mime": "text/html"},
    ]
    code_history_pattern = "6 * 7*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "Math.hypot"
    code_clear_output = "clearOutput();"


if __name__ == "__main__":
    unittest.main(verbosity=2)

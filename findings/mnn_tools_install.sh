#!/usr/bin/env bash
# `import MNN.tools` runs pip: onnx beside it does not load afterwards
#
# MNN 3.6.1, onnx 1.23.2, protobuf 7.36.2, seen on 2026-11-30. Both packages install side by side, and both work. The
# package around MNN's converter, MNN.tools, which its documentation has for conversion from Python, installs
# aliyun-log-python-sdk when it is imported, by the first `pip` on the PATH: in an environment that is active that is
# its own. The newest release of that asks for protobuf below 6, so that pip puts 5.29.6 in the place of 7.36.2, and
# `import onnx`, whose code was generated for a newer one, fails from then on, in every process. The converter itself
# (the extension module `_tools`) needs none of it.
#
# Output seen:
#   before:                   protobuf 7.36.2, onnx 1.23.2
#   after `import _tools`:    protobuf 7.36.2, onnx 1.23.2
#   after `import MNN.tools`: protobuf 5.29.6, aliyun-log-python-sdk 0.9.52, import onnx: VersionError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
export PATH="$folder/venv/bin:$PATH"
pip install --quiet MNN==3.6.1 onnx==1.23.2 protobuf==7.36.2 numpy==2.4.6

cat > "$folder/seen.py" <<'P'
import importlib.metadata as metadata

found = [f"protobuf {metadata.version('protobuf')}"]
try:
    found.append(f"aliyun-log-python-sdk {metadata.version('aliyun-log-python-sdk')}")
except metadata.PackageNotFoundError:
    pass
try:
    import onnx

    found.append(f"onnx {onnx.__version__}")
except Exception as error:
    found.append(f"import onnx: {type(error).__name__}")
print(", ".join(found))
P
before=$(python "$folder/seen.py")
python -c "import _tools" >/dev/null 2>&1
plain=$(python "$folder/seen.py")
python -c "import MNN.tools" >/dev/null 2>&1
after=$(python "$folder/seen.py")
echo "before:                   $before"
echo "after \`import _tools\`:    $plain"
echo "after \`import MNN.tools\`: $after"
test "$before" = "$plain"
case "$before" in *"protobuf 7.36.2, onnx 1.23.2"*) ;; *) exit 1 ;; esac
case "$after" in *"protobuf 5."*"aliyun-log-python-sdk"*"import onnx: VersionError"*) ;; *) exit 1 ;; esac

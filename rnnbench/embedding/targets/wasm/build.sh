#!/bin/sh
# Compiles model.wasm, which imports nothing: SIMD (in browsers since 2021 to 2023), no threads.
set -e
exec clang --target=wasm32-wasi -std=c99 -O3 -ffp-contract=off -msimd128 -mnontrapping-fptoint -mbulk-memory \
    -nostartfiles -Wl,--no-entry -Wl,--strip-all -Wl,--export=__heap_base -Wl,--export=model_run \
    -Wl,--export=model_workspace_size -Wl,--export=model_output_elements \
    model.c model_weights.c -o model.wasm -lm

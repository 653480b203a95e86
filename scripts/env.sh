# Sourced: puts this tree's environment first on the path, and names this tree's uv.
export UV_PROJECT_ENVIRONMENT="$PWD/.venv"
export UV_PYTHON_DOWNLOADS=never
export PATH="$PWD/.venv/bin:$PWD/.tools/bin:$HOME/.cargo/bin:$PATH"
export VIRTUAL_ENV="$PWD/.venv"
unset PYTHONPATH
# PostgreSQL's grammar (crate pg_query) has its bindings made at build time, by the libclang that setup installs from
# PyPI. It brings no headers: the C compiler's own are named, and where there is no clang they are not found by themselves.
for libclang in "$PWD"/.venv/lib/python3*/site-packages/clang/native; do
  if [ -z "${LIBCLANG_PATH:-}" ] && [ -d "$libclang" ]; then export LIBCLANG_PATH="$libclang"; fi
done
if command -v cc >/dev/null; then
  export BINDGEN_EXTRA_CLANG_ARGS="${BINDGEN_EXTRA_CLANG_ARGS:--isystem $(cc -print-file-name=include)}"
fi

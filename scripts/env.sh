# Sourced: puts this tree's environment first on the path, and names this tree's uv.
export UV_PROJECT_ENVIRONMENT="$PWD/.venv"
export UV_PYTHON_DOWNLOADS=never
export PATH="$PWD/.venv/bin:$PWD/.tools/bin:$HOME/.cargo/bin:$PATH"
export VIRTUAL_ENV="$PWD/.venv"
unset PYTHONPATH

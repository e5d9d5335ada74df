#!/bin/sh
# Makes a Python with the real `minerl` client, 0.4.4 or 1.0, but without the game: what the tests of the wire need.
#
#   tests/envs/minerl/client_env.sh 0.4.4 minerl-client        # or: 1.0 minerl-client-1
#   WORLDSIM_MINERL_PYTHON=$PWD/minerl-client/python python -m pytest tests/envs/minerl
#
# Why not plain pip: installing minerl builds Minecraft (Java 8, gradle, the network, gigabytes), and gym 0.19.0, which it
# wants, has metadata that setuptools 66 and later refuse. So: an old setuptools, the packages that `import minerl`
# touches, and minerl's own sources beside them, unbuilt. Tried with Python 3.11 on Debian 12. 0.4.4 is 70 MB.
set -eu
case "${1:-}:${2:-}" in 0.4.4:?* | 1.0:?*) ;; *) sed -n '2,5p' "$0"; exit 2 ;; esac
version=$1
mkdir -p "$2"
target=$(cd "$2" && pwd)
${PYTHON:-python3} -m venv "$target/venv"
pip="$target/venv/bin/pip"
printf 'setuptools<66\nwheel<0.39\n' >"$target/old.txt"
"$pip" install -q 'setuptools<66' 'wheel<0.39'
"$pip" install -q --no-build-isolation gym==0.19.0
# numpy<2: minerl names types that numpy 2 dropped.
"$pip" install -q 'numpy<2' opencv-python-headless Pyro4 lxml xmltodict==0.12.0 coloredlogs daemoniker psutil dill \
  inflection jinja2 requests tqdm typing_extensions
if [ "$version" = 0.4.4 ]; then
  # The constraint reaches pip's own build environments only through the variable.
  PIP_CONSTRAINT="$target/old.txt" "$pip" download -q --no-deps --no-binary minerl -d "$target" minerl==0.4.4
  tar xzf "$target/minerl-0.4.4.tar.gz" -C "$target"
  sources="$target/minerl-0.4.4"
else
  # Not on the registry. v1.0.2 and not v1.0, which asks for numpy<1.24.
  git clone -q --depth 1 --branch v1.0.2 https://github.com/minerllabs/minerl "$target/minerl-1.0.2"
  sources="$target/minerl-1.0.2"
fi
printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$@"\n' "$sources" "$target/venv/bin/python" >"$target/python"
chmod +x "$target/python"
"$target/python" -W ignore -c 'import gym, minerl
registry = gym.envs.registration.registry
print(sum("MineRL" in n for n in getattr(registry, "env_specs", registry)), "tasks of minerl, without the game")'
echo "export WORLDSIM_MINERL_PYTHON=$target/python"

"""Says whether what deploy/ has for Kubernetes and Istio is of the shape that they
take: built as `kubectl apply -k` would, each resource against its schema, with no
unknown field. Nothing is asked of a cluster.

    validate.py NODE_FOLDER

NODE_FOLDER has what package.json beside this says. `kubectl` and `node` are taken
from the folder of the Python that runs this, then from the path.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jsonschema
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = HERE.parent.parent / "deploy"

# The versions of Kubernetes that it is for: the oldest whose pods can be granted
# ReadWriteOncePod by default, and the newest that there is a schema of.
VERSIONS = ["1.29.0", "1.37.0"]
# What is put together by Kustomize, and what is applied by itself.
BUILT = ["kubernetes/once", "kubernetes", "istio"]
ALONE = ["kubernetes/certificate.yaml"]
# What no cluster is given, but `istioctl install`.
MESH = "istio/mesh.yaml"


def tool(name):
    beside = pathlib.Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        sys.exit(f"there is no {name} here: .ci/run installs it")
    return found


def resources():
    for folder in BUILT:
        built = subprocess.run(
            [tool("kubectl"), "kustomize", DEPLOY / folder],
            check=True,
            stdout=subprocess.PIPE,
        )
        yield from yaml.safe_load_all(built.stdout)
    for name in ALONE:
        yield from yaml.safe_load_all((DEPLOY / name).read_text())


def is_custom(resource):
    group = resource["apiVersion"].partition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def native_problems(resource):
    name = f"{resource['kind'].lower()}/{resource['metadata']['name']}"
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}, Kubernetes {version}: {error.message}"


def mesh_problems():
    schema = json.loads((HERE / "mesh.json").read_text())
    mesh = yaml.safe_load((DEPLOY / MESH).read_text())
    for error in jsonschema.Draft202012Validator(schema).iter_errors(mesh):
        yield f"{MESH}: {error.json_path}: {error.message}"


def main():
    custom, problems, native = [], list(mesh_problems()), 0
    for resource in resources():
        if is_custom(resource):
            custom.append(resource)
        else:
            native += 1
            problems.extend(native_problems(resource))
    for problem in problems:
        print(problem, file=sys.stderr)
    checked = subprocess.run(
        [tool("node"), HERE / "custom_resources.mjs", sys.argv[1]],
        input=json.dumps(custom).encode(),
        check=False,
    )
    print(f"{native} resources of Kubernetes {' and '.join(VERSIONS)}, {len(custom)} custom ones")
    sys.exit(1 if problems or checked.returncode or not native or not custom else 0)


if __name__ == "__main__":
    main()

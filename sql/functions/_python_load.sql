-- Makes the modules importable in this session, as package @python_package@: the name holds the hash of the
-- contents, so that a session that outlives ALTER EXTENSION UPDATE gets the new code and old work in flight keeps its own.
create function pgagent._python_load() returns void
language plpython3u volatile security invoker
set search_path = pg_catalog, pg_temp
as $$
import hashlib, importlib.abc, importlib.machinery, sys

sources = {row["module"]: row["source"] for row in plpy.execute("select module, source from pgagent._python_source()")}
digest = hashlib.sha256()
for module in sorted(sources):
    digest.update(module.encode() + b"\0" + sources[module].encode() + b"\0")
if digest.hexdigest() != "@python_sha256@":
    plpy.error("Python source of extension \"pgagent_py\" does not match its checksum", sqlstate="XX001",
               hint="Install the extension's files again, then DROP and CREATE or ALTER EXTENSION pgagent_py UPDATE.")

class Source(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, fullname, path=None, target=None):
        package, _, module = fullname.partition(".")
        if package == "@python_package@" and (module or "__init__") in sources:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=not module)

    def get_source(self, fullname):
        return sources[fullname.partition(".")[2] or "__init__"]

    def get_code(self, fullname):
        name = fullname.replace("@python_package@", "pgagent_py").replace(".", "/")
        return compile(self.get_source(fullname), f"<{name}.py>", "exec", dont_inherit=True)

sys.meta_path.append(Source())
__import__("@python_package@")
$$;
comment on function pgagent._python_load() is 'Loads the Python modules into the session, after checking their SHA-256.';

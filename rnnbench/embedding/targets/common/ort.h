/* Loads libonnxruntime as the program starts, so that the program is linked against no one version. */
#ifndef ORT_H
#define ORT_H

#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __APPLE__
#define ORT_SONAME "libonnxruntime.dylib"
#else
#define ORT_SONAME "libonnxruntime.so"
#endif
#ifndef ORT_LIBRARY /* CMake says where it found one */
#define ORT_LIBRARY ORT_SONAME
#endif

#ifndef __cplusplus /* where -std=c11 hides it */
int setenv(const char *name, const char *value, int overwrite);
#endif

/* The API of at least version `needed` (N came with ONNX Runtime 1.N), and the library's version.
 * NULL where there is none: then `error` says why, in a line. */
static inline const OrtApi *ort_load(unsigned needed, const char **version, char *error, size_t size) {
    char folder[2][4096] = {"", ""};
    const char *root = getenv("ONNXRUNTIME_ROOT");
    setenv("ORT_DISABLE_TELEMETRY", "1", 0); /* builds from 1.29 on send some unless asked not to */
    if (root && *root) {
        snprintf(folder[0], sizeof folder[0], "%s/lib/" ORT_SONAME, root);
        snprintf(folder[1], sizeof folder[1], "%s/lib64/" ORT_SONAME, root);
    }
    const char *places[] = {folder[0], folder[1], ORT_LIBRARY, ORT_SONAME ".1", ORT_SONAME};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof places / sizeof *places; i++)
        if (*places[i]) library = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(error, size, "no libonnxruntime (%s): set ONNXRUNTIME_ROOT to the folder of a release", dlerror());
        return NULL;
    }
    const OrtApiBase *(*get)(void) = NULL;
    *(void **)&get = dlsym(library, "OrtGetApiBase");
    const OrtApiBase *base = get ? get() : NULL;
    unsigned has = 0;
    if (!base || sscanf(*version = base->GetVersionString(), "1.%u", &has) != 1) {
        snprintf(error, size, "libonnxruntime is not version 1: set ONNXRUNTIME_ROOT to another release");
        return NULL;
    }
    const OrtApi *api = has < needed ? NULL : base->GetApi(needed);
    if (!api)
        snprintf(error, size, "libonnxruntime is version %s, and this needs 1.%u or later: install a newer one "
                 "and set ONNXRUNTIME_ROOT to its folder", *version, needed);
    return api;
}

#endif

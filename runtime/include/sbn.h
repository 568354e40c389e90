/* The functions that libsbn.so exports.
 *
 * Whoever runs a model through onnxruntime needs none of them by name: give the
 * library's path to RegisterCustomOpsLibrary_V2 (C), SessionOptions.registerCustomOpLibrary
 * (Java, Kotlin) or SessionOptions.register_custom_ops_library (Python), which call
 * RegisterCustomOps. A program that links with the library calls it itself. */
#ifndef SBN_H
#define SBN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct OrtApiBase;
struct OrtSessionOptions;
struct OrtStatus;

/* Registers the operators of domain "sbn" with the sessions made from `options`.
 * `base` is onnxruntime's OrtGetApiBase(), of version 1.17 or newer. Returns NULL, or
 * an error that the caller releases. May be called for any number of options; the
 * library must stay loaded as long as their sessions live, and sees to that itself
 * when it was loaded by dlopen. */
struct OrtStatus* RegisterCustomOps(struct OrtSessionOptions* options,
                                    const struct OrtApiBase* base);

/* The version of sbn-deploy that the library was built from. */
const char* sbn_version(void);

/* The name of the kernel set that sessions made from now on use. */
const char* sbn_isa(void);

/* Whether this machine can run the kernel set of that name: 1 or 0. */
int sbn_isa_available(const char* name);

/* Chooses the kernel set of sessions made from now on; the empty name stands for the
 * fastest of this machine, which is also the choice without a call. Returns 0, or 1 for an
 * unknown name, or 2 for a kernel set that this machine cannot run. */
int sbn_set_isa(const char* name);

/* Keeps the core busy for about so many of its cycles and returns how many they were: a
 * chain of dependent instructions. The time it takes tells the clock. */
int64_t sbn_run_cycles(int64_t cycles);

#ifdef __cplusplus
}
#endif

#endif

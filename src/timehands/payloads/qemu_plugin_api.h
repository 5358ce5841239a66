/* The part of QEMU's TCG plugin interface (version 4, QEMU 9.2 and later) that the watcher uses.
 *
 * Debian ships no qemu-plugin.h, so the prototypes are declared here; names and types are those of
 * QEMU 10.0 include/qemu/qemu-plugin.h. QEMU checks `qemu_plugin_version` when it loads a plugin.
 * GLib's byte array is part of the interface; its symbols come from the QEMU process itself.
 */
#ifndef TIMEHANDS_QEMU_PLUGIN_API_H
#define TIMEHANDS_QEMU_PLUGIN_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLUGIN_API_VERSION 4

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_register;
struct qemu_plugin_hwaddr;

typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
    bool system_emulation;
    struct { int smp_vcpus, max_vcpus; } system;
} qemu_info_t;

typedef struct {
    struct qemu_plugin_register *handle;
    const char *name;
    const char *feature;
} qemu_plugin_reg_descriptor;

typedef struct { uint8_t *data; unsigned len; } GByteArray;
typedef struct { char *data; unsigned len; } GArray;

typedef struct {
    int type; /* 0 to 4: 8, 16, 32, 64, 128 bits */
    union { uint8_t u8; uint16_t u16; uint32_t u32; uint64_t u64; uint64_t u128[2]; } data;
} qemu_plugin_mem_value;

enum { CB_NO_REGS = 0, CB_R_REGS = 1 };
enum { MEM_READ = 1, MEM_WRITE = 2, MEM_BOTH = 3 };

typedef void (*vcpu_cb)(qemu_plugin_id_t, unsigned vcpu);
typedef void (*exec_cb)(unsigned vcpu, void *udata);
typedef void (*mem_cb)(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *udata);
typedef void (*trans_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *tb);
typedef void (*exit_cb)(qemu_plugin_id_t, void *udata);

GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_set_size(GByteArray *array, unsigned length);

void qemu_plugin_outs(const char *text);
void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, vcpu_cb cb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, trans_cb cb);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_cb cb, void *udata);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, int flags,
                                            void *udata);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, mem_cb cb, int flags, int rw,
                                      void *udata);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *out, size_t length);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
qemu_plugin_mem_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *address);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *address);
GArray *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(struct qemu_plugin_register *handle, GByteArray *out);
bool qemu_plugin_read_memory_vaddr(uint64_t address, GByteArray *out, size_t length);

#endif

/* What bench_exits.py holds the monitor's bindings against: the same ioctls from C. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Enter the guest so often; each time it must come out for a port. 0, or what it came out for. */
long run_exits(int vcpu, const struct kvm_run *run, long count)
{
    while (count-- > 0) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0)
            return -errno;
        if (run->exit_reason != KVM_EXIT_IO)
            return run->exit_reason;
    }
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int vm_parts(int vm, void *memory, uint64_t size, int with_pit)
{
    struct kvm_userspace_memory_region region = {
        .memory_size = size, .userspace_addr = (uintptr_t)memory};
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    uint64_t identity = 0xfffbc000;

    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ||
        ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
        ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0)
        return -1;
    if (with_pit && ioctl(vm, KVM_CREATE_PIT2, &pit) < 0)
        return -1;
    return ioctl(vm, KVM_CREATE_VCPU, 0);
}

/* A machine with chips, memory and one vCPU: how long that took, in ns, or -1. */
int64_t create_machine(uint64_t size, int with_pit)
{
    int64_t started = now_ns(), took = -1;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, vcpu;
    int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    void *memory = mmap(0, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *run;

    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    vcpu = vm_parts(vm, memory, size, with_pit);
    run = vcpu < 0 ? MAP_FAILED : mmap(0, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run != MAP_FAILED) {
        took = now_ns() - started;
        munmap(run, run_size);
    }
    close(vcpu);
    close(vm);
    close(kvm);
    munmap(memory, size);
    return took;
}

/** CPU mappings of buffers, and the permanent revoke: V-52 to V-65. */
import { unit } from './places.ts';
import { check, edit, proof, type Row, type Test } from './row.ts';
import { revokedForGood } from './vfio-for-good.ts';
import { atOnce, auditMappings, forGood, inTable, racesAtOnce, series } from './vfio-places.ts';

const STATUS = 'impl/vfio/pci-dmabuf-status.ts';
const ENGINE = 'impl/vfio/pci-dmabuf-revoke.ts';
const FEATURE = 'impl/vfio/pci-dmabuf-feature.ts';
const BUFFER = 'impl/vfio/pci-dmabuf.ts';
const MAPPING = 'impl/vfio/pci-dmabuf-vma.ts';
const DEVICE = 'impl/vfio/pci-device.ts';

/** A test in a describe. */
const within =
  (name: string) =>
  (group: string, title: string, ...of: readonly string[]): Test =>
    unit(name)(`${group} ${title}`, group, ...(of.length === 0 ? [title] : of));
const fault = within('vfio-buffer-fault');
const mapped = within('vfio-buffer-mmap');
const pfn = unit('vfio-find-pfn');

const FROM_TEMP = ".with(['TEMP_REVOKED', 'DMA_BUF_REVOKE'], () => to('PERM_REVOKED'))";
const NO_WAIT = 'of a buffer that is revoked for now waits for nothing, and leaves the token alone';
const AFTER = "after: ['drain', 'zap', 're-arm'] } as const;";

export const bufferMappings: readonly Row[] = [
  ...revokedForGood,
  {
    id: 'V-56',
    says: 'A page of a mapping shows the page of the buffer at its offset, in whatever parts the mapping is cut.',
    checks: [check('audit', 'impl/audit-mm.ts', 'shows'), check('property', pfn('').file, 'findPfn')],
    proofs: [
      proof(
        'a mapping of a BAR counts its offset twice',
        edit(MAPPING, '(pgoff - vmaPgoffAdjust) % REGION_PAGES', 'pgoff % REGION_PAGES'),
        series('T12: a mapping of a BAR from a page behind its start shows that page'),
      ),
      proof(
        'a mapping of a buffer always shows its start',
        edit(MAPPING, 'vfile === undefined ? pgoff :', 'vfile === undefined ? 0 :'),
        series('T14: from an offset on, across the border of two ranges, the pages are right'),
      ),
      proof(
        'what a split leaves shows the start of the buffer again',
        edit(MAPPING, '(pgoff - vmaPgoffAdjust) % REGION_PAGES', '0'),
        series('T11: the outer pages of three of a second BAR work when the middle one is unmapped'),
      ),
    ],
  },
  {
    id: 'V-57',
    says: 'A large leaf lies in one range and in its mapping; a single page of a mapping can always be entered.',
    checks: [
      check('audit', 'impl/audit-mm.ts', 'shows'),
      check('splat', MAPPING, 'has a page that the buffer has not'),
      check('property', pfn('').file, 'findPfn'),
    ],
    proofs: [
      proof(
        'a leaf may begin in one range and end in the next',
        edit(MAPPING, '      if (at + pages > inRange) return none;\n', ''),
        pfn('a leaf lies in one range, even where the next goes on from it'),
      ),
      proof(
        'a leaf may reach beyond the end of its mapping',
        edit(
          MAPPING,
          'if (first < vma.startPage || first + pages - 1 > vma.lastPage) return none;',
          'if (first < vma.startPage) return none;',
        ),
        pfn('an order-0 leaf shows the page at its offset, and a larger one nothing else, in any split of any mapping'),
      ),
    ],
  },
  {
    id: 'V-58',
    says: 'A touch of a buffer that is not usable is SIGBUS, and looks at no device that may be gone.',
    checks: [inTable, racesAtOnce, check('splat', DEVICE, 'is not open: no vconfig')],
    proofs: [
      proof(
        'the status is not asked again under memory_lock',
        edit(MAPPING, "    if (refusesTouch(priv)) return 'SIGBUS';\n    const pfn", '    const pfn'),
        atOnce('R10: a touch of a buffer and its revoke for good'),
      ),
      proof(
        'the device is not kept while the fault waits',
        edit(MAPPING, 'const held = tryGetRegistration(device);', 'const held = true;'),
        fault('a touch of a buffer', 'gives back the registration and every lock, whatever it finds'),
      ),
    ],
  },
  {
    id: 'V-59',
    says: 'While memory_lock is free no process has an entry of a buffer that is not usable, be it of a BAR.',
    checks: [auditMappings, racesAtOnce, check('property', 'test/properties/zap-range.test.ts', 'walk')],
    proofs: [
      proof(
        'the zap is of as many pages as the buffer has, from page 0 of its file on',
        edit(ENGINE, 'const everywhere = current().kernel.features.zapsEveryMapping;', 'const everywhere = false;'),
        fault(
          'a revoke',
          'by memory off leaves no entry of any buffer',
          'by %s leaves no entry of any buffer',
          'memory off',
        ),
      ),
      proof(
        'the CPU goes before the drain',
        edit(STATUS, AFTER, "after: ['zap', 'drain', 're-arm'] } as const;"),
        fault('a revoke', 'takes entries away after the drain, and not before'),
      ),
    ],
  },
  {
    id: 'V-60',
    says: 'A mapping of a BAR keeps its device open, and one of an exported buffer does not.',
    checks: [auditMappings, check('audit', 'impl/audit-disturbed.ts', 'auditReferences')],
    proofs: [
      proof(
        'the buffer behind a mapping of a BAR keeps the device open for ever',
        edit(BUFFER, '  priv.vfile?.put();\n', ''),
        mapped('mmap of a BAR', 'keeps the device open, and closes it with the last mapping'),
      ),
      proof(
        'a mapping of an exported buffer holds the device',
        edit(
          BUFFER,
          "    if (!vma.shared) return 'EINVAL';\n",
          "    if (!vma.shared) return 'EINVAL';\n    priv.vdev?.file?.file.get();\n",
        ),
        mapped('mmap of a buffer', 'holds the file, and neither the device nor its registration'),
      ),
    ],
  },
  {
    id: 'V-61',
    says: 'The buffer behind a mapping of a BAR is as long as the mapping, and begins where that does.',
    checks: [check('refusal', BUFFER, 'mapAsBuffer')],
    proofs: [
      proof(
        'it is as long as the BAR is up to the end of the mapping',
        edit(BUFFER, 'len: vma.npages * PAGE_SIZE', 'len: (pgoff + vma.npages) * PAGE_SIZE'),
        mapped('mmap of a BAR', 'makes a buffer of just that slice, and leaves its own page offset'),
      ),
      proof(
        'it begins where the BAR does',
        edit(BUFFER, 'paddr: phys + pgoff * PAGE_SIZE', 'paddr: phys'),
        series('T12: a mapping of a BAR from a page behind its start shows that page'),
      ),
    ],
  },
  {
    id: 'V-62',
    says: 'MEMATTR is for mappings that are made afterwards, by that buffer; one that there is not is ENOENT.',
    checks: [check('refusal', FEATURE, 'setMemAttr')],
    proofs: [
      proof(
        'an attribute that there is not means the first',
        edit(FEATURE, 'if (memattr !== undefined) priv.memattr = memattr;', "priv.memattr = memattr ?? 'NC';"),
        mapped('the memory attribute', 'that there is not changes nothing'),
      ),
      proof(
        'mmap does not look at it',
        edit(BUFFER, 'showBuffer(priv, vma, priv.memattr);', "showBuffer(priv, vma, 'NC');"),
        series('T20: with MEMATTR a mapping is write-combining, and works'),
      ),
    ],
  },
  {
    id: 'V-63',
    says: 'From revoked for now to revoked for good nothing waits, and the drain token is left alone.',
    checks: [inTable, check('splat', 'impl/kernel/kref.ts', 'put below zero')],
    proofs: [
      proof(
        'it is revoked all over again',
        edit(STATUS, FROM_TEMP, ".with(['TEMP_REVOKED', 'DMA_BUF_REVOKE'], () => takenBackTo('PERM_REVOKED'))"),
        forGood(NO_WAIT),
      ),
    ],
  },
  {
    id: 'V-64',
    says: 'Giving back calls no importer, and waits for nothing.',
    checks: [inTable],
    proofs: [
      proof(
        'the importers are called once more, as up to 7.3',
        edit(ENGINE, 'if (!waits() || current().kernel.features.restoresSilently) return;', 'if (!waits()) return;'),
        fault('a revoke', 'calls importers before it zaps, in D0; giving back calls nobody and waits for nothing'),
      ),
    ],
  },
  {
    id: 'V-65',
    says: 'A revoke zaps BARs by the device file for every driver with an mmap of its own, unless that says no.',
    checks: [check('refusal', 'impl/vfio/take-back.ts', 'zapLeft')],
    proofs: [
      proof(
        'a driver has to ask for it',
        edit(DEVICE, 'this.zapBarsOnRevoke = this.ownMmap !== undefined;', 'this.zapBarsOnRevoke = false;'),
        fault('zap_bars_on_revoke', 'is on for every driver with an mmap of its own, and off for vfio-pci'),
      ),
    ],
  },
];
